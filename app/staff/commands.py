"""Staff accounts and partner keys."""

import secrets
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.kernel.auth import Role, Scope, revoke_sessions_of
from app.kernel.db import Tx
from app.staff.errors import LeaderNeedsCommunity, LoginTaken, WeakPassword
from app.staff.queries import key_digest
from app.staff.tables import ApiKey, StaffAccount

MIN_PASSWORD = 12
KEY_PREFIX = "linli_"


def check_password(password: str) -> None:
    """Raise WeakPassword unless the password is long enough."""
    if len(password) < MIN_PASSWORD:
        raise WeakPassword()


async def create_account(
    tx: Tx,
    *,
    login: str,
    name: str,
    role: Role,
    password_hash: str,
    community_id: UUID | None = None,
) -> StaffAccount:
    """Make a staff account; the password comes hashed, because hashing takes long.

    Raises LoginTaken, LeaderNeedsCommunity.
    """
    if (role is Role.LEADER) != (community_id is not None):
        raise LeaderNeedsCommunity()
    taken = await tx.session.scalar(
        insert(StaffAccount)
        .values(
            id=tx.new_id(),
            login=login.casefold(),
            name=name,
            role=role,
            password_hash=password_hash,
            created_at=tx.now,
            community_id=community_id,
        )
        .on_conflict_do_nothing(index_elements=[StaffAccount.login])
        .returning(StaffAccount.id)
    )
    if taken is None:
        raise LoginTaken()
    return await tx.session.get_one(StaffAccount, taken)


async def disable_account(tx: Tx, *, login: str) -> bool:
    """Disable an account and end its sessions; False if there is none with this login."""
    account = await tx.session.scalar(
        select(StaffAccount).where(StaffAccount.login == login.casefold())
    )
    if account is None:
        return False
    account.disabled_at = account.disabled_at or tx.now
    await revoke_sessions_of(tx, subject_id=account.id)
    return True


async def create_api_key(
    tx: Tx, *, name: str, scopes: Iterable[Scope], key: str | None = None
) -> str:
    """Make a partner's key and answer it; it cannot be read again."""
    text = key or KEY_PREFIX + secrets.token_urlsafe(32)
    await tx.session.execute(
        insert(ApiKey)
        .values(
            id=tx.new_id(),
            name=name,
            digest=key_digest(text),
            scopes=sorted(scopes),
            created_at=tx.now,
        )
        .on_conflict_do_nothing(index_elements=[ApiKey.digest])
    )
    return text


async def revoke_api_key(tx: Tx, *, name: str) -> int:
    """End every key of a partner system of this name; answers how many there were."""
    ended = await tx.session.scalars(
        update(ApiKey)
        .where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
        .values(revoked_at=tx.now)
        .returning(ApiKey.id)
    )
    return len(ended.all())
