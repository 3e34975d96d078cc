"""Staff accounts, partner keys and the audit log: the face of the slice."""

from app.staff.commands import (
    KEY_PREFIX,
    audit,
    check_password,
    create_account,
    create_api_key,
    disable_account,
    revoke_api_key,
)
from app.staff.errors import LeaderNeedsCommunity, LoginRefused, LoginTaken, WeakPassword
from app.staff.queries import by_id, by_login, callers_named, keys_revoked_since, partner_by_key
from app.staff.tables import ApiKey, AuditEntry, StaffAccount

__all__ = [
    "KEY_PREFIX",
    "ApiKey",
    "AuditEntry",
    "LeaderNeedsCommunity",
    "LoginRefused",
    "LoginTaken",
    "StaffAccount",
    "WeakPassword",
    "audit",
    "by_id",
    "by_login",
    "callers_named",
    "check_password",
    "create_account",
    "create_api_key",
    "disable_account",
    "keys_revoked_since",
    "partner_by_key",
    "revoke_api_key",
]
