"""The product catalog: plans and their prices (group "Product Catalog"), those of this collector only.

Nothing is sent to a billing provider, so ``provider`` other than ``moesif`` is a 501.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from .. import checks
from ..calls import Handler
from ..checks import Fields, Unfit, list_of, map_of
from ..context import CollectorContext
from ..documents import Collection
from ..operations import Operation, Query
from ..refusals import JSONAnswer, Refusal

PROVIDER: Final = "moesif"
ELSEWHERE: Final = "only provider=moesif is served: this collector sends nothing to billing providers"

_OWN_ID: Final = {"id": checks.key}
_TEXT_MAP: Final = map_of(checks.text)


def _up_to(value: Any) -> None:
    """Accept a whole number, or text such as ``inf``."""
    if type(value) not in (int, str):
        raise Unfit("must be a whole number or text")


_TIER: Final = Fields(
    {
        "up_to": checks.described(_up_to, {"type": ["integer", "string"]}),
        "unit_price_in_decimal": checks.text,
        "flat_price_in_decimal": checks.text,
    },
    required=("up_to",),
)
_PRICE_TEXTS: Final = (
    *("name", "provider", "price_in_decimal", "period_units", "plan_id", "status", "pricing_model"),
    *("tax_behavior", "currency", "unit", "usage_aggregator"),
)
_QUANTITY: Final = Fields({"divide_by": checks.int64, "round": checks.text}, required=("divide_by", "round"))
_PRICE: Final = Fields(
    {
        **dict.fromkeys(_PRICE_TEXTS, checks.text),
        **_OWN_ID,
        "transform_quantity": _QUANTITY,
        "tiers": list_of(_TIER),
        "metadata": _TEXT_MAP,
        "period": checks.int64,
    }
)
_PLAN_TEXTS: Final = ("name", "provider", "description", "status", "product_id", "unit")
_PLAN: Final = Fields(
    {**dict.fromkeys(_PLAN_TEXTS, checks.text), **_OWN_ID, "prices": list_of(_PRICE), "metadata": _TEXT_MAP}
)


PLANS: Final = Collection(
    kind="plans",
    noun="plan",
    new=_PLAN,
    changes=_PLAN,
    modified="updated_at",
    constants={"provider": PROVIDER, "status": "active"},
    own_id="id",
    status_of_delete=204,
)
PRICES: Final = Collection(
    kind="prices",
    noun="price",
    new=_PRICE,
    changes=_PRICE,
    modified=None,
    constants={"provider": PROVIDER, "status": "active"},
    own_id="id",
    status_of_delete=204,
)


async def list_plans(request: Request, context: CollectorContext, app: str) -> Response:
    """Answer every plan; with ``includes=prices`` the prices that name it are in it."""
    plans = [PLANS.shown(plan) for plan in await PLANS.all(context, app)]
    if "prices" in request.query_params.get("includes", "").split(","):
        prices = [PRICES.shown(price) for price in await PRICES.all(context, app)]
        for plan in plans:
            mine = [price for price in prices if price.get("plan_id") == plan["id"]]
            plan["prices"] = [*plan.get("prices", []), *mine]
    return JSONAnswer(plans)


def _ours(handler: Handler) -> Handler:
    """Return the handler, for the one provider that is served."""

    async def ours(request: Request, context: CollectorContext, app: str) -> Response:
        if request.query_params.get("provider", PROVIDER) not in (PROVIDER, "all"):
            raise Refusal(501, ELSEWHERE)
        return await handler(request, context, app)

    return ours


def _operations() -> Iterator[Operation]:
    provider = (Query("provider"),)
    listed = (*provider, Query("includes"))
    for found in (
        *PLANS.operations("/{org}/billing/catalog/plans", "plans", lists=list_plans, list_query=listed,
                          query=provider, change_verb="PUT"),
        *PRICES.operations("/{org}/billing/catalog/prices", "prices", list_query=provider, query=provider,
                           change_verb="PUT"),
    ):  # fmt: skip
        yield replace(found, handler=_ours(found.handler), refusals=(*found.refusals, 501))


OPERATIONS: Final = tuple(_operations())
