"""Staff accounts, partner keys and the audit log: the face of the slice."""

from app.staff.audit import (
    OPERATOR,
    Actor,
    Subject,
    audit,
    audit_by_id,
    audit_page,
    changed,
    snapshot,
    subject,
)
from app.staff.commands import (
    KEY_PREFIX,
    check_password,
    create_account,
    create_api_key,
    disable_account,
    revoke_api_key,
)
from app.staff.errors import (
    LeaderNeedsCommunity,
    LoginRefused,
    LoginTaken,
    NoticeNotFound,
    WeakPassword,
)
from app.staff.notices import (
    Notice,
    acknowledge_notice,
    notices_by_id,
    notices_page,
    notify,
)
from app.staff.queries import (
    by_id,
    by_login,
    callers_named,
    keys_revoked_since,
    partner_by_key,
    partner_name,
)
from app.staff.tables import ApiKey, AuditEntry, Outcome, StaffAccount, StaffNotice

__all__ = [
    "KEY_PREFIX",
    "OPERATOR",
    "Actor",
    "ApiKey",
    "AuditEntry",
    "LeaderNeedsCommunity",
    "LoginRefused",
    "LoginTaken",
    "Notice",
    "NoticeNotFound",
    "Outcome",
    "StaffAccount",
    "StaffNotice",
    "Subject",
    "WeakPassword",
    "acknowledge_notice",
    "audit",
    "audit_by_id",
    "audit_page",
    "by_id",
    "by_login",
    "callers_named",
    "changed",
    "check_password",
    "create_account",
    "create_api_key",
    "disable_account",
    "keys_revoked_since",
    "notices_by_id",
    "notices_page",
    "notify",
    "partner_by_key",
    "partner_name",
    "revoke_api_key",
    "snapshot",
    "subject",
]
