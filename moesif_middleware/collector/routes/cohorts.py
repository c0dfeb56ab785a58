"""Cohorts: users or companies that a search describes (group "Cohorts"). ``criteria`` has the search."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..checks import Check, Fields, Unfit, list_of
from ..context import CollectorContext
from ..criteria import ENTITY_OF, criteria_of
from ..documents import Collection, Document, present
from ..operations import APP_ID, OBJECT, Operation, Query
from ..refusals import JSONAnswer

_PATH: Final = "/{org}/cohorts"
_TYPE: Final = (Query("cohort_type"),)


def _criteria(value: Any) -> None:
    """Accept an object, or one as JSON text, as the answers have it."""
    if type(value) is not dict:
        checks.text(value)


_FIELDS: Final[dict[str, Check]] = {
    "channels": list_of(checks.text),
    "priority": checks.int32,
    "url_query": checks.text,
    "criteria": checks.described(_criteria, {"type": ["object", "string"]}),
    "notification_rule": Fields(
        {
            "send_on_addition": checks.flag,
            "send_on_removal": checks.flag,
            "period": checks.text,
            "fields": list_of(checks.text),
        },
        required=("send_on_addition", "send_on_removal"),
    ),
    "cohort_name": checks.name,
    "cohort_type": checks.one_of(*ENTITY_OF),
    "week_starts_on": checks.int32,
    "locked_by": checks.text,
    "from": checks.text,
    "to": checks.text,
    "time_zone": checks.text,
    "sample_rate": checks.whole(0, 100),
}


def _written(cohort: Document, now_ms: int) -> Document:
    """Return a cohort with its criteria as an object. Raises Unfit and InvalidSearch for what cannot be searched."""
    if isinstance(text := cohort.get("criteria"), str):
        try:
            cohort = {**cohort, "criteria": orjson.loads(text)}
        except orjson.JSONDecodeError:
            raise Unfit("must be a search, an object or JSON text", "criteria") from None
    if (criteria := cohort.get("criteria")) is not None:
        checks.at("criteria", checks.any_object, criteria)
    criteria_of({"cohort_type": "user", **present(cohort)}, now_ms)
    return cohort


COHORTS: Final = Collection(
    kind="cohorts",
    noun="cohort",
    new=Fields(_FIELDS, required=("criteria", "cohort_name", "cohort_type")),
    changes=Fields(_FIELDS),
    written=_written,
    shown=lambda cohort: {**cohort, "criteria": orjson.dumps(cohort["criteria"]).decode()},
    after=CollectorContext.governance_changed,
)


def _of_type(request: Request, cohort: Document) -> bool:
    return request.query_params.get("cohort_type") in (None, cohort["cohort_type"])


async def delete_sample_rate(request: Request, context: CollectorContext, app: str) -> Response:
    """Let a cohort's members be sampled like everybody else."""
    await COHORTS.edit(context, app, request.path_params["id"], lambda there: {**there, "sample_rate": None})
    return JSONAnswer({})


OPERATIONS: Final = (
    *COHORTS.operations(_PATH, "cohorts", lists=COHORTS.listing(_of_type), list_query=_TYPE, query=_TYPE),
    Operation("DELETE", f"{_PATH}/{{id}}/sample_rate", delete_sample_rate, "Delete a cohort's sample rate",
              ("update:cohorts",), 200, (APP_ID,), answer=OBJECT, refusals=(404,)),
)  # fmt: skip
