"""Workspaces and dashboards (reference, "Management API v1", Workspaces and Dashboards)."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from types import NoneType
from typing import Any, Unpack

from ..calls import Moment
from ..search import Clause, EventSearch, Search, last_day, search_body
from ..types import (
    CommentItem,
    DashboardDocument,
    DashboardUpdateItem,
    SignedTokenDTO,
    WorkspaceCreateItem,
    WorkspaceDocument,
    WorkspaceUpdateItem,
)
from .group import AsyncGroup


class AsyncWorkspaces(AsyncGroup):
    """Saved charts and searches, their comments and who may see them."""

    async def create(
        self, workspace: WorkspaceCreateItem, *, expiration: Moment | None = None, app_id: str | None = None
    ) -> WorkspaceDocument:
        """Create New Workspace. Scope ``create:workspaces``, ``create:public_workspaces``."""
        return await self._call(
            WorkspaceDocument, "POST /~/workspaces", workspace, app_id=app_id, expiration=expiration
        )

    async def list(
        self,
        *,
        take: int,
        access: Sequence[str],
        before_id: str | None = None,
        type_: str = "sequence",
        app_id: str | None = None,
    ) -> builtins.list[WorkspaceDocument]:
        """Get Workspaces. Scope ``read:workspaces``."""
        return await self._call(
            list[WorkspaceDocument],
            "GET /~/workspaces",
            app_id=app_id,
            take=take,
            before_id=before_id,
            type_=type_,
            access=access,
        )

    async def templates(self, *, app_id: str | None = None) -> builtins.list[WorkspaceDocument]:
        """Get Workspace Templates. Scope ``read:workspaces``."""
        return await self._call(list[WorkspaceDocument], "GET /~/workspaces/templates", app_id=app_id)

    async def get(self, workspace_id: str, *, app_id: str | None = None) -> WorkspaceDocument:
        """Get a Workspace. Scope ``read:workspaces``."""
        return await self._call(WorkspaceDocument, "GET /~/workspaces/{id}", app_id=app_id, id=workspace_id)

    async def update(self, workspace_id: str, workspace: WorkspaceUpdateItem, *, app_id: str | None = None) -> Any:
        """Update a Workspace. Scope ``update:workspaces``, ``update:public_workspaces``."""
        return await self._call(object, "POST /~/workspaces/{id}", workspace, app_id=app_id, id=workspace_id)

    async def delete(self, workspace_id: str, *, app_id: str | None = None) -> None:
        """Delete a Workspace. Scope ``delete:workspaces``."""
        return await self._call(NoneType, "DELETE /~/workspaces/{id}", app_id=app_id, id=workspace_id)

    async def get_public(self, workspace_id: str) -> WorkspaceDocument:
        """Get a Public Workspace. Scope ``read:public_workspaces``."""
        return await self._call(WorkspaceDocument, "GET /workspaces/public/{id}", id=workspace_id)

    async def access_token(self) -> SignedTokenDTO:
        """Get new Workspace Token. Scope ``read:workspaces``."""
        return await self._call(SignedTokenDTO, "GET /workspaces/access_token")

    async def search(
        self,
        workspace_id: str,
        body: Clause | None = None,
        *,
        include_details: bool = False,
        take: int = 1000,
        **search: Unpack[Search],
    ) -> EventSearch:
        """Return what the saved search of a public workspace finds. Scope ``read:events``."""
        parameters = last_day(search) | {"include_details": include_details, "take": take}
        return await self._call(
            EventSearch,
            "POST /search/~/workspaces/{workspaceId}/search",
            search_body(body, search),
            repeatable=True,
            workspaceId=workspace_id,
            **parameters,
        )

    async def comments(self, workspace_id: str, *, app_id: str | None = None) -> Any:
        """Get all Comments. Scope ``read:workspaces``."""
        return await self._call(object, "GET /~/workspaces/{id}/comments", app_id=app_id, id=workspace_id)

    async def create_comment(self, workspace_id: str, comment: CommentItem, *, app_id: str | None = None) -> Any:
        """Create a New Comment. Scope ``update:workspaces``."""
        return await self._call(object, "POST /~/workspaces/{id}/comments", comment, app_id=app_id, id=workspace_id)

    async def update_comment(
        self, workspace_id: str, comment_id: str, comment: CommentItem, *, app_id: str | None = None
    ) -> Any:
        """Update Existing Comment. Scope ``update:workspaces``."""
        return await self._call(
            object,
            "POST /~/workspaces/{id}/comments/{commentId}",
            comment,
            app_id=app_id,
            id=workspace_id,
            commentId=comment_id,
        )

    async def delete_comment(self, workspace_id: str, comment_id: str, *, app_id: str | None = None) -> None:
        """Delete a Comment. Scope ``update:workspaces``."""
        return await self._call(
            NoneType,
            "DELETE /~/workspaces/{id}/comments/{commentId}",
            app_id=app_id,
            id=workspace_id,
            commentId=comment_id,
        )

    async def grant(
        self, workspace_id: str, *, grantee: str | None = None, permission: str | None = None, app_id: str | None = None
    ) -> Any:
        """Add ACL permission. Scope ``create:workspaces``."""
        return await self._call(
            object,
            "POST /~/workspaces/{id}/policy/acl",
            app_id=app_id,
            id=workspace_id,
            grantee=grantee,
            permission=permission,
        )

    async def revoke(self, workspace_id: str, *, grantee: str, app_id: str | None = None) -> None:
        """Delete ACL permission. Scope ``delete:workspaces``."""
        return await self._call(
            NoneType, "DELETE /~/workspaces/{id}/policy/acl", app_id=app_id, id=workspace_id, grantee=grantee
        )


class AsyncDashboards(AsyncGroup):
    """Trees of workspaces, and who may see them."""

    async def create(self, *, app_id: str | None = None) -> DashboardDocument:
        """Create New Dashboard. Scope ``create:dashboards``."""
        return await self._call(DashboardDocument, "POST /~/dashboards", app_id=app_id)

    async def list(self, *, app_id: str | None = None) -> Any:
        """Get the dashboards. Scope ``read:dashboards``."""
        return await self._call(object, "GET /~/dashboards", app_id=app_id)

    async def update(self, dashboard_id: str, dashboard: DashboardUpdateItem, *, app_id: str | None = None) -> Any:
        """Update a Dashboard. Scope ``update:dashboards``."""
        return await self._call(object, "POST /~/dashboards/{dashId}", dashboard, app_id=app_id, dashId=dashboard_id)

    async def delete(self, dashboard_id: str, *, app_id: str | None = None) -> None:
        """Delete a Dashboard. Scope ``delete:dashboards``."""
        return await self._call(NoneType, "DELETE /~/dashboards/{dashId}", app_id=app_id, dashId=dashboard_id)

    async def delete_from_parent(
        self, dashboard_id: str, *, parent_id: str | None = None, app_id: str | None = None
    ) -> None:
        """Delete a Dashboard. Scope ``delete:dashboards``."""
        return await self._call(
            NoneType, "DELETE /~/dashboard/{dashId}", app_id=app_id, dashId=dashboard_id, parent_id=parent_id
        )

    async def delete_cascade(self, dashboard_id: str, *, app_id: str | None = None) -> None:
        """Cascade delete a Dashboard. Scope ``delete:dashboards``."""
        return await self._call(NoneType, "DELETE /~/dashboards/{dashId}/cascade", app_id=app_id, dashId=dashboard_id)

    async def copy(self, dashboard_id: str, *, to_app_id: str | None = None, app_id: str | None = None) -> Any:
        """Copy Dashboard. Scope ``create:dashboards``."""
        return await self._call(
            object, "POST /~/dashboard/{id}/copy", app_id=app_id, id=dashboard_id, to_app_id=to_app_id
        )

    async def copy_all(self, *, to_app_id: str, app_id: str | None = None) -> Any:
        """Copy All Dashboards. Scope ``create:dashboards``."""
        return await self._call(object, "POST /~/dashboards/copy", app_id=app_id, to_app_id=to_app_id)

    async def grant(
        self, dashboard_id: str, *, grantee: str | None = None, permission: str | None = None, app_id: str | None = None
    ) -> Any:
        """Add Dashboards ACL permission. Scope ``create:dashboards``."""
        return await self._call(
            object,
            "POST /~/dashboards/{id}/policy/acl",
            app_id=app_id,
            id=dashboard_id,
            grantee=grantee,
            permission=permission,
        )

    async def revoke(self, dashboard_id: str, *, grantee: str, app_id: str | None = None) -> None:
        """Delete Dashboards ACL permission. Scope ``delete:dashboards``."""
        return await self._call(
            NoneType, "DELETE /~/dashboards/{id}/policy/acl", app_id=app_id, id=dashboard_id, grantee=grantee
        )

    async def promote(self, dashboard_id: str, *, entity: str, app_id: str | None = None) -> Any:
        """Select the dashboard for the profile pages of an entity. Reference only, "Select Profile View Dashboard"."""
        operation = "POST /~/{app_id}/{entity}/promotedashboard/{dashId}"
        return await self._call(object, operation, app_id=app_id, entity=entity, dashId=dashboard_id)
