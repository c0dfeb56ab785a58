# Generated from _async/organisation.py by python -m scripts.unasync; do not edit.
"""Applications, email templates and the keystore (reference, "Management API v1", the groups of these names)."""

from __future__ import annotations

import builtins
from types import NoneType
from typing import Any

from ..calls import Moment
from ..types import (
    AppCreateDTO,
    AppResponseDTO,
    AppUpdateDTO,
    EmailTemplateCreateItem,
    EmailTemplateDocument,
    EmailTemplateUpdateItem,
    EncryptedKeyDocument,
)
from .group import Group

Document = dict[str, Any]


class Apps(Group):
    """The applications of the organisation."""

    def create(self, app: AppCreateDTO) -> AppResponseDTO:
        """Create a new App. Scope ``create:apps``."""
        return self._call(AppResponseDTO, "POST /~/apps", app)

    def list(self, *, take: int = 100, before_id: str | None = None) -> builtins.list[AppResponseDTO]:
        """Gets Apps. Scope ``read:apps``."""
        return self._call(list[AppResponseDTO], "GET /~/apps", take=take, before_id=before_id)

    def update(self, app_id: str, app: AppUpdateDTO) -> AppUpdateDTO:
        """Update Apps. Scope ``update:apps``."""
        return self._call(AppUpdateDTO, "POST /~/apps/{id}", app, id=app_id)

    def delete(self, app_id: str) -> None:
        """Delete Apps. Scope ``delete:apps``."""
        return self._call(NoneType, "DELETE /~/apps/{id}", id=app_id)


class EmailTemplates(Group):
    """Mails that are sent to the members of cohorts."""

    def create(self, template: EmailTemplateCreateItem, *, app_id: str | None = None) -> EmailTemplateDocument:
        """Create New Email Template. Scope ``create:email_templates``."""
        return self._call(EmailTemplateDocument, "POST /~/emails/templates", template, app_id=app_id)

    def list(self, *, cohort_id: str | None = None, app_id: str | None = None) -> Any:
        """Get Email Templates. Scope ``read:email_templates``."""
        return self._call(object, "GET /~/emails/templates", app_id=app_id, cohort_id=cohort_id)

    def get(self, template_id: str, *, app_id: str | None = None) -> Any:
        """Get Email Template. Scope ``read:email_templates``."""
        return self._call(object, "GET /~/emails/templates/{id}", app_id=app_id, id=template_id)

    def update(self, template_id: str, template: EmailTemplateUpdateItem, *, app_id: str | None = None) -> Any:
        """Update an Email Template. Scope ``update:email_templates``."""
        return self._call(object, "POST /~/emails/templates/{id}", template, app_id=app_id, id=template_id)

    def delete(self, template_id: str, *, app_id: str | None = None) -> None:
        """Delete Email Template. Scope ``delete:email_templates``."""
        return self._call(NoneType, "DELETE /~/emails/templates/{id}", app_id=app_id, id=template_id)


class Keystore(Group):
    """Encrypted keys of the secure proxy. In the reference only, which gives no schema for what is created."""

    def create(self, key: Document) -> EncryptedKeyDocument:
        """Create new encrypted keys. Scope ``create:encrypted_keys``."""
        return self._call(EncryptedKeyDocument, "POST /~/keystore", key)

    def list(
        self, *, from_: Moment | None = None, to: Moment | None = None, type_: str | None = None
    ) -> builtins.list[EncryptedKeyDocument]:
        """Get the encrypted keys. Scope ``read:encrypted_keys``."""
        return self._call(list[EncryptedKeyDocument], "GET /~/keystore", from_=from_, to=to, type_=type_)

    def get(self, key_id: str) -> EncryptedKeyDocument:
        """Get an encrypted key. Scope ``read:encrypted_keys``."""
        return self._call(EncryptedKeyDocument, "GET /~/keystore/{keyId}", keyId=key_id)
