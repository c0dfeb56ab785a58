"""Governance rules and cohorts (reference, "Management API v1", Governance Rules and Cohorts)."""

from __future__ import annotations

import builtins
from types import NoneType
from typing import Any

from ..types import (
    CohortCreateItem,
    CohortDocument,
    CohortUpdateItem,
    GovernanceRuleCreateItem,
    GovernanceRulesDocument,
    GovernanceRuleUpdateItem,
)
from .group import AsyncGroup


class AsyncGovernanceRules(AsyncGroup):
    """Rules that block calls or add to their answers."""

    async def create(self, rule: GovernanceRuleCreateItem, *, app_id: str | None = None) -> GovernanceRulesDocument:
        """Create New Governance Rules. Scope ``create:governance_rules``."""
        return await self._call(GovernanceRulesDocument, "POST /~/governance/rules", rule, app_id=app_id)

    async def list(self, *, app_id: str | None = None) -> builtins.list[GovernanceRulesDocument]:
        """Get Governance Rules. Scope ``read:governance_rules``."""
        return await self._call(list[GovernanceRulesDocument], "GET /~/governance/rules", app_id=app_id)

    async def get(self, rule_id: str, *, app_id: str | None = None) -> GovernanceRulesDocument:
        """Get a Governance Rule. Scope ``read:governance_rules``."""
        return await self._call(GovernanceRulesDocument, "GET /~/governance/rules/{id}", app_id=app_id, id=rule_id)

    async def update(
        self, rule_id: str, rule: GovernanceRuleUpdateItem, *, app_id: str | None = None
    ) -> GovernanceRulesDocument:
        """Update a Governance Rule. Scope ``update:governance_rules``."""
        return await self._call(
            GovernanceRulesDocument, "POST /~/governance/rules/{id}", rule, app_id=app_id, id=rule_id
        )

    async def delete(self, rule_id: str, *, app_id: str | None = None) -> None:
        """Delete a Governance Rule. Scope ``delete:governance_rules``."""
        return await self._call(NoneType, "DELETE /~/governance/rules/{id}", app_id=app_id, id=rule_id)


class AsyncCohorts(AsyncGroup):
    """Users or companies that a search describes."""

    async def create(self, cohort: CohortCreateItem, *, app_id: str | None = None) -> CohortDocument:
        """Create New Cohort. Scope ``create:cohorts``."""
        return await self._call(CohortDocument, "POST /~/cohorts", cohort, app_id=app_id)

    async def list(self, *, cohort_type: str, app_id: str | None = None) -> Any:
        """Get Cohorts. Scope ``read:cohorts``."""
        return await self._call(object, "GET /~/cohorts", app_id=app_id, cohort_type=cohort_type)

    async def get(self, cohort_id: str, *, cohort_type: str, app_id: str | None = None) -> Any:
        """Get Cohort. Scope ``read:cohorts``."""
        return await self._call(
            object, "GET /~/cohorts/{cohortId}", app_id=app_id, cohort_type=cohort_type, cohortId=cohort_id
        )

    async def update(self, cohort_id: str, cohort: CohortUpdateItem, *, app_id: str | None = None) -> Any:
        """Update a Cohort. Scope ``update:cohorts``."""
        return await self._call(object, "POST /~/cohorts/{cohortId}", cohort, app_id=app_id, cohortId=cohort_id)

    async def delete(self, cohort_id: str, *, app_id: str | None = None) -> None:
        """Delete Cohort. Scope ``delete:cohorts``."""
        return await self._call(NoneType, "DELETE /~/cohorts/{cohortId}", app_id=app_id, cohortId=cohort_id)

    async def delete_sample_rate(self, cohort_id: str, *, app_id: str | None = None) -> None:
        """Delete Sample Rate for a Cohort. Scope ``update:cohorts``."""
        return await self._call(NoneType, "DELETE /~/cohorts/{cohortId}/sample_rate", app_id=app_id, cohortId=cohort_id)
