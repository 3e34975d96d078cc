"""Making personal data anew by the keys in force, beside running servers.

Whatever a key of the rings made is read; `rekey` makes it anew by their first keys, a batch a
transaction, so that it may be killed and started again. Tables that keep a fingerprint of an
identity (columns `kind`, `app`, `blind`, or all three in one text `person`) change with the
identity, in its transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Table as SchemaTable
from sqlalchemy import case, column, delete, func, or_, select, update, values
from sqlalchemy.sql.elements import ColumnElement

from app.kernel.crypto import Unreadable, Vault
from app.kernel.db import Read, Tx
from app.kernel.table import Table
from app.members.tables import Identity, IdentityKind, PhoneCode

START = UUID(int=0)


@dataclass(frozen=True, slots=True)
class KeysInUse:
    """How many identities each key sealed, and each key of the index fingerprinted.

    The key of fingerprints from before there were several is not known: None.
    """

    sealed: dict[str, int]
    indexed: dict[str | None, int]

    def missing(self, vault: Vault) -> list[str]:
        """Keys in use that are not in the rings: what they made cannot be read or found."""
        lost = [f"crypto {kid}" for kid in self.sealed if kid not in vault.keys]
        index = [kid for kid in self.indexed if kid is not None and kid not in vault.index_kids]
        return sorted(lost) + sorted(f"index {kid}" for kid in index)


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What one batch did: identities made anew, those that no key opens, and where it ended."""

    done: int
    unreadable: int
    position: UUID | None


async def keys_in_use(read: Read) -> KeysInUse:
    """Count what each key has made."""
    kid = func.split_part(Identity.sealed, ":", 1)
    sealed = await read.session.execute(select(kid, func.count()).group_by(kid))
    indexed = await read.session.execute(
        select(Identity.index_kid, func.count()).group_by(Identity.index_kid)
    )
    return KeysInUse({row[0]: row[1] for row in sealed}, {row[0]: row[1] for row in indexed})


async def stale_identities(read: Read, *, vault: Vault) -> int:
    """How many identities were sealed or fingerprinted by another key than those in force."""
    found = await read.session.scalar(select(func.count()).where(_stale(vault)))
    return found or 0


async def rekey(tx: Tx, *, vault: Vault, after: UUID = START, limit: int = 500) -> Rekeyed:
    """Seal and fingerprint the identities of up to so many members anew, in the order of their ids.

    `position` is where the next call goes on, None at the end. Log-ins meanwhile find an identity
    by its old or its new fingerprint: it has always one of the two.
    """
    people = (
        select(Identity.member_id)
        .where(Identity.member_id > after, _stale(vault))
        .distinct()
        .order_by(Identity.member_id)
        .limit(limit)
    )
    rows = (
        await tx.session.scalars(
            select(Identity)
            .where(Identity.member_id.in_(people), _stale(vault))
            .order_by(Identity.member_id, Identity.kind, Identity.app, Identity.blind)
            .with_for_update(),
            execution_options={"populate_existing": True},
        )
    ).all()
    position = rows[-1].member_id if rows else None
    fresh: list[tuple[str, str, str, str, str]] = []
    for row in rows:
        try:
            value = vault.open(row.kind, row.sealed)
        except Unreadable:
            continue
        sealed, blind = vault.seal(row.kind, value), vault.blind(row.kind, value)
        fresh.append((row.kind.value, row.app, row.blind, blind, sealed))
    tx.session.expunge_all()
    if fresh:
        await _store(tx, vault, fresh)
    return Rekeyed(len(fresh), len(rows) - len(fresh), position)


async def forget_codes(tx: Tx) -> None:
    """Delete one-time codes that have expired, whatever key they were stored by."""
    await tx.session.execute(delete(PhoneCode).where(PhoneCode.expires_at <= tx.now))


def _stale(vault: Vault) -> ColumnElement[bool]:
    return or_(
        func.split_part(Identity.sealed, ":", 1) != vault.kid,
        Identity.index_kid.is_distinct_from(vault.index_kid),
    )


async def _store(tx: Tx, vault: Vault, fresh: Sequence[tuple[str, str, str, str, str]]) -> None:
    names = ("kind", "app", "before", "after", "sealed")
    new = values(*(column(name, Identity.app.type) for name in names), name="fresh").data(
        list(fresh)
    )
    for table in _fingerprinted():
        same = (
            (table.c.kind == new.c.kind)
            & (table.c.app == new.c.app)
            & (table.c.blind == new.c.before)
        )
        changed: dict[str, object] = {"blind": new.c.after}
        if table.name == Identity.__tablename__:
            changed |= {"sealed": new.c.sealed, "index_kid": vault.index_kid}
        await tx.session.execute(update(table).where(same).values(changed))
    issuer = case((new.c.kind == IdentityKind.STORE_CARD.value, new.c.app), else_="")
    name = new.c.kind + ":" + issuer + ":"
    for table in _naming_persons():
        mine = table.c.person == name + new.c.before
        await tx.session.execute(update(table).where(mine).values(person=name + new.c.after))


def _naming_persons() -> list[SchemaTable]:
    return [table for table in Table.metadata.sorted_tables if "person" in table.columns]


def _fingerprinted() -> list[SchemaTable]:
    return [
        table
        for table in Table.metadata.sorted_tables
        if {"kind", "app", "blind"} <= set(table.columns.keys())
    ]
