"""Who is calling, and how they prove it: callers, passwords, tokens, sessions, brakes."""

from app.kernel.auth.brakes import (
    ADDRESS,
    MESSAGES,
    MESSAGES_FROM_ADDRESS,
    brake,
    release,
    subscriber,
    take_off,
)
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
    ReplayedToken,
    SessionPair,
    live_by_id,
    live_sessions,
    open_session,
    revoke_session,
    revoke_sessions_of,
    revoked_since,
    rotate_session,
)
from app.kernel.auth.tokens import BadToken, Bearer, TokenKeys

__all__ = [
    "ADDRESS",
    "ANONYMOUS",
    "MESSAGES",
    "MESSAGES_FROM_ADDRESS",
    "Anonymous",
    "BadToken",
    "Bearer",
    "Caller",
    "MemberCaller",
    "PartnerCaller",
    "ReplayedToken",
    "Role",
    "Scope",
    "SessionPair",
    "StaffCaller",
    "TokenKeys",
    "brake",
    "hash_password",
    "live_by_id",
    "live_sessions",
    "open_session",
    "password_matches",
    "release",
    "revoke_session",
    "revoke_sessions_of",
    "revoked_since",
    "rotate_session",
    "subscriber",
    "take_off",
]
