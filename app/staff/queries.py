"""Reads of staff accounts and partner keys."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.kernel.auth import PartnerCaller, Scope
from app.kernel.db import Read
from app.staff.tables import ApiKey, StaffAccount


async def by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, StaffAccount]:
    """Staff accounts by id; unknown ids are absent."""
    rows = await read.session.scalars(select(StaffAccount).where(StaffAccount.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def by_login(read: Read, login: str) -> StaffAccount | None:
    """The enabled account with this login."""
    return await read.session.scalar(
        select(StaffAccount).where(
            StaffAccount.login == login.casefold(), StaffAccount.disabled_at.is_(None)
        )
    )


async def partner_by_key(read: Read, key: str) -> PartnerCaller | None:
    """Who an API key belongs to, while it is not revoked."""
    row = await read.session.scalar(
        select(ApiKey).where(ApiKey.digest == key_digest(key), ApiKey.revoked_at.is_(None))
    )
    if row is None:
        return None
    return PartnerCaller(row.id, frozenset(Scope(scope) for scope in row.scopes))


async def partner_name(read: Read, key_id: UUID) -> str | None:
    """The partner system whose key this is; None for one that there is not."""
    return await read.session.scalar(select(ApiKey.name).where(ApiKey.id == key_id))


async def keys_revoked_since(read: Read, since: datetime) -> list[UUID]:
    """The partner keys that were revoked after an instant."""
    return list(await read.session.scalars(select(ApiKey.id).where(ApiKey.revoked_at > since)))


async def callers_named(read: Read, *, logins: Iterable[str], keys: Iterable[str]) -> set[str]:
    """The staff accounts of some logins and the partner keys of some names, as `kind:uuid`.

    Disabled accounts and revoked keys are left out; several keys may have one name.
    """
    accounts = select(StaffAccount.id).where(
        StaffAccount.login.in_(list(logins)), StaffAccount.disabled_at.is_(None)
    )
    partners = select(ApiKey.id).where(ApiKey.name.in_(list(keys)), ApiKey.revoked_at.is_(None))
    return {f"staff:{key}" for key in await read.session.scalars(accounts)} | {
        f"partner:{key}" for key in await read.session.scalars(partners)
    }


def key_digest(key: str) -> str:
    """The stored form of an API key; keys are long random texts, so a plain digest is enough."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
