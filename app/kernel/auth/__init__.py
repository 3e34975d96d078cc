"""Who is calling, and how they prove it: callers, passwords, tokens, sessions, brakes."""

from app.kernel.auth.brakes import brake, release
from app.kernel.auth.callers import (
    ANONYMOUS,
    Anonymous,
    Caller,
    MemberCaller,
    PartnerCaller,
    Role,
    Scope,
    StaffCaller,
)
from app.kernel.auth.passwords import hash_password, password_matches
from app.kernel.auth.sessions import (
    SessionPair,
    open_session,
    revoke_session,
    revoke_sessions_of,
    rotate_session,
    session_is_live,
)
from app.kernel.auth.tokens import BadToken, TokenKeys

__all__ = [
    "ANONYMOUS",
    "Anonymous",
    "BadToken",
    "Caller",
    "MemberCaller",
    "PartnerCaller",
    "Role",
    "Scope",
    "SessionPair",
    "StaffCaller",
    "TokenKeys",
    "brake",
    "hash_password",
    "open_session",
    "password_matches",
    "release",
    "revoke_session",
    "revoke_sessions_of",
    "rotate_session",
    "session_is_live",
]
