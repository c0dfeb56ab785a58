"""Billing meters, reports, balance transactions and the product catalog (reference, the groups of these names)."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from types import NoneType

from ..calls import Moment
from ..types import (
    BillingMeterDocument,
    BillingMetricResponse,
    BillingReport,
    BillingReportBalanceTransCreate,
    MoesifPlan,
    MoesifPrice,
)
from .group import AsyncGroup


class AsyncMeters(AsyncGroup):
    """Billing meters: what is counted for a plan."""

    async def list(self, *, app_id: str | None = None) -> builtins.list[BillingMeterDocument]:
        """List Billing Meters. Scope ``read:billing_meters``."""
        return await self._call(list[BillingMeterDocument], "GET /~/billing/meters", app_id=app_id)

    async def get(self, meter_id: str, *, app_id: str | None = None) -> BillingMeterDocument:
        """Get Billing Meter by id. Scope ``read:billing_meters``."""
        return await self._call(
            BillingMeterDocument, "GET /~/billing/meters/{meterId}", app_id=app_id, meterId=meter_id
        )

    async def delete(self, meter_id: str, *, app_id: str | None = None) -> None:
        """Delete Billing Meter by id. Scope ``delete:billing_meters``."""
        return await self._call(NoneType, "DELETE /~/billing/meters/{meterId}", app_id=app_id, meterId=meter_id)


class AsyncReports(AsyncGroup):
    """What was reported to billing providers."""

    async def list(
        self,
        *,
        from_: Moment | None = None,
        to: Moment | None = None,
        billing_meter_id: str | None = None,
        company_id: str | None = None,
        provider: str | None = None,
        subscription_id: str | None = None,
        success: bool | None = None,
        status_code: int | None = None,
        error_code: str | None = None,
        type_: str | None = None,
        app_id: str | None = None,
    ) -> builtins.list[BillingReport]:
        """Get BillingReports. Scope ``read:billing_meters``, ``read:billing_reports``."""
        return await self._call(
            list[BillingReport],
            "GET /~/billing/reports",
            app_id=app_id,
            from_=from_,
            to=to,
            billing_meter_id=billing_meter_id,
            company_id=company_id,
            provider=provider,
            subscription_id=subscription_id,
            success=success,
            status_code=status_code,
            error_code=error_code,
            type_=type_,
        )

    async def metrics(
        self,
        *,
        from_: Moment,
        to: Moment,
        billing_meter_id: str | None = None,
        success: bool | None = None,
        aggregator: str | None = None,
        interval: str | None = None,
        company_id: str | None = None,
        subscription_id: str | None = None,
        type_: Sequence[str] | None = None,
        app_id: str | None = None,
    ) -> BillingMetricResponse:
        """Return a meter's values over time. Scope ``create:billing_meters``, ``create:billing_reports``."""
        return await self._call(
            BillingMetricResponse,
            "GET /~/billing/reports/metrics",
            app_id=app_id,
            from_=from_,
            to=to,
            billing_meter_id=billing_meter_id,
            success=success,
            aggregator=aggregator,
            interval=interval,
            company_id=company_id,
            subscription_id=subscription_id,
            type_=type_,
        )


class AsyncBalanceTransactions(AsyncGroup):
    """Credits and debits of a company."""

    async def create(self, transaction: BillingReportBalanceTransCreate, *, app_id: str | None = None) -> None:
        """Post BillingReports Balance Transactions. Scope ``create:billing_meters``, ``create:billing_reports``."""
        return await self._call(NoneType, "POST /~/billing/reports/balance_transactions", transaction, app_id=app_id)


class AsyncCatalog(AsyncGroup):
    """Plans and their prices, at Moesif or a billing provider."""

    async def create_plan(self, plan: MoesifPlan, *, provider: str, app_id: str | None = None) -> MoesifPlan:
        """Create a new Moesif Plan. Scope ``create:plans``."""
        return await self._call(MoesifPlan, "POST /~/billing/catalog/plans", plan, app_id=app_id, provider=provider)

    async def list_plans(
        self, *, provider: str = "all", includes: str | None = None, app_id: str | None = None
    ) -> list[MoesifPlan]:
        """List all Moesif Plans. Scope ``read:plans``."""
        return await self._call(
            list[MoesifPlan], "GET /~/billing/catalog/plans", app_id=app_id, provider=provider, includes=includes
        )

    async def get_plan(self, plan_id: str, *, provider: str, app_id: str | None = None) -> MoesifPlan:
        """Get a Moesif Plan. Scope ``read:plans``."""
        return await self._call(
            MoesifPlan, "GET /~/billing/catalog/plans/{id}", app_id=app_id, id=plan_id, provider=provider
        )

    async def update_plan(
        self, plan_id: str, plan: MoesifPlan, *, provider: str, app_id: str | None = None
    ) -> MoesifPlan:
        """Update a Moesif Plan. Scope ``update:plans``."""
        return await self._call(
            MoesifPlan, "PUT /~/billing/catalog/plans/{id}", plan, app_id=app_id, id=plan_id, provider=provider
        )

    async def delete_plan(self, plan_id: str, *, provider: str, app_id: str | None = None) -> None:
        """Delete a Moesif Plan. Scope ``delete:plans``."""
        return await self._call(
            NoneType, "DELETE /~/billing/catalog/plans/{id}", app_id=app_id, id=plan_id, provider=provider
        )

    async def create_price(self, price: MoesifPrice, *, provider: str, app_id: str | None = None) -> MoesifPrice:
        """Create a new Moesif Price. Scope ``create:prices``."""
        return await self._call(MoesifPrice, "POST /~/billing/catalog/prices", price, app_id=app_id, provider=provider)

    async def list_prices(self, *, provider: str = "all", app_id: str | None = None) -> list[MoesifPrice]:
        """List all Moesif Prices for a specific Plan. Scope ``read:prices``."""
        return await self._call(list[MoesifPrice], "GET /~/billing/catalog/prices", app_id=app_id, provider=provider)

    async def get_price(self, price_id: str, *, provider: str, app_id: str | None = None) -> MoesifPrice:
        """Get a Moesif Price. Scope ``read:prices``."""
        return await self._call(
            MoesifPrice, "GET /~/billing/catalog/prices/{id}", app_id=app_id, id=price_id, provider=provider
        )

    async def update_price(
        self, price_id: str, price: MoesifPrice, *, provider: str, app_id: str | None = None
    ) -> MoesifPrice:
        """Update a Moesif Price. Scope ``update:prices``."""
        return await self._call(
            MoesifPrice, "PUT /~/billing/catalog/prices/{id}", price, app_id=app_id, id=price_id, provider=provider
        )

    async def delete_price(self, price_id: str, *, provider: str, app_id: str | None = None) -> None:
        """Delete a Moesif Price. Scope ``delete:prices``."""
        return await self._call(
            NoneType, "DELETE /~/billing/catalog/prices/{id}", app_id=app_id, id=price_id, provider=provider
        )
