"""Passwords by argon2id, hashed in a thread: one hash takes about 0.2 s of processor time."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
# Verified when there is no such account, so that the answer takes as long either way.
_NOBODY = _hasher.hash("nobody has this password")


async def hash_password(password: str) -> str:
    """The argon2id hash of a password."""
    return await asyncio.to_thread(_hasher.hash, password)


async def password_matches(hashed: str | None, password: str) -> bool:
    """True if the password belongs to the hash; takes as long when there is no hash."""

    def verify() -> bool:
        try:
            return _hasher.verify(hashed or _NOBODY, password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    return await asyncio.to_thread(verify)
