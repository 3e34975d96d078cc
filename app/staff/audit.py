"""The audit log: who did what, to what, from where, and what that changed. Written once, kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from uuid import UUID

from sqlalchemy import Table as SchemaTable
from sqlalchemy import select, tuple_

from app.kernel.auth import PartnerCaller, StaffCaller
from app.kernel.db import Read, Tx
from app.kernel.table import Json, Table
from app.staff.tables import AuditEntry, AuditWords, Outcome

# Never copied into the log, which is kept for good: secrets, what a person may have erased, and the
# bytes of models.
LEFT_OUT = frozenset(
    {"sealed", "blind", "digest", "password_hash", "nickname", "avatar_url", "birthday", "artifact"}
)
# What somebody says about a member in their own words, by column or field of an input. Of their
# rows it is kept beside the log (AuditWords), for they may have it erased.
WORDS = frozenset(
    {
        "reason", "note", "text", "evidence", "override_reason", "reversal_reason",
        "revoked_reason", "hidden_reason", "script_zh", "script_en",
    }
)  # fmt: skip
KEPT_APART = "***"
# Who works on the command line has no account.
OPERATOR = UUID(int=0)
# Nor has the author of what comes with the product, whom nobody of staff is.
PRODUCT = UUID(int=1)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where."""

    kind: str
    id: UUID
    address: str | None = None
    request_id: str | None = None

    @classmethod
    def of(
        cls, caller: StaffCaller | PartnerCaller, address: str | None, request_id: str | None
    ) -> "Actor":
        """The actor that a caller is."""
        kind = "staff" if isinstance(caller, StaffCaller) else "partner"
        return cls(kind, caller.id, address, request_id)


@dataclass(frozen=True, slots=True)
class Subject:
    """The row that an action is about: the columns that find it, the first of which names it."""

    table: type[Table]
    where: Mapping[str, object]

    @property
    def kind(self) -> str:
        """The table's name."""
        return self.table.__tablename__

    @property
    def id(self) -> UUID:
        """The key that names the subject."""
        return UUID(str(next(iter(self.where.values()))))


def subject(table: type[Table], key: UUID) -> Subject:
    """The row of a table with this id."""
    return Subject(table, {"id": key})


async def snapshot(read: Read, about: Subject) -> Json | None:
    """The row as JSON values, without what must not be copied; None if there is none."""
    table = about.table.__table__
    if not isinstance(table, SchemaTable):
        raise TypeError(f"{about.table.__name__} is no table of its own")
    query = select(*(column for column in table.c if column.name not in LEFT_OUT)).limit(1)
    for name, value in about.where.items():
        query = query.where(table.c[name] == value)
    row = (await read.session.execute(query)).mappings().first()
    return None if row is None else {str(name): _plain(value) for name, value in row.items()}


def changed(before: Json | None, after: Json | None) -> tuple[Json | None, Json | None]:
    """Of two snapshots what differs; all of the one where there is no other.

    >>> changed({"a": 1, "b": 2}, {"a": 1, "b": 3}), changed(None, {"a": 1})
    (({'b': 2}, {'b': 3}), (None, {'a': 1}))
    """
    if before is None or after is None:
        return before, after
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def member_in(about: Subject, row: Json | None) -> UUID | None:
    """The member whose row it is, by a snapshot of it; None for what is nobody's."""
    name = "id" if about.kind == "member" else "member_id"
    found = None if row is None else row.get(name)
    return None if found is None else UUID(str(found))


def parted(values: Json | None) -> tuple[Json | None, Json]:
    """Values without what somebody said in their own words, and those words.

    >>> parted({"amount": 5, "reason": "moved away", "note": None})
    ({'amount': 5, 'reason': '***', 'note': None}, {'reason': 'moved away'})
    """
    if values is None:
        return None, {}
    words = {name: value for name, value in values.items() if name in WORDS and value}
    return {**values, **dict.fromkeys(words, KEPT_APART)}, words


async def audit(
    tx: Tx,
    *,
    actor: Actor,
    action: str,
    given: Json,
    outcome: Outcome = Outcome.DONE,
    about: Subject | None = None,
    before: Json | None = None,
    after: Json | None = None,
    member_id: UUID | None = None,
) -> None:
    """Write down who did what, with the input they gave and what it changed.

    Where it is about a member, what was said in somebody's own words is kept apart.
    """
    entry_id, kept = tx.new_id(), {"given": given, "before": before, "after": after}
    if member_id is not None:
        split = {name: parted(values) for name, values in kept.items()}
        kept = {name: plain for name, (plain, _) in split.items()}
        words = {name: said for name, (_, said) in split.items()}
        if any(words.values()):
            tx.session.add(AuditWords(member_id=member_id, entry_id=entry_id, **words))
    tx.session.add(
        AuditEntry(
            id=entry_id,
            at=tx.now,
            actor_kind=actor.kind,
            actor_id=actor.id,
            action=action,
            given=kept["given"],
            address=actor.address,
            request_id=actor.request_id,
            outcome=outcome,
            subject_kind=None if about is None else about.kind,
            subject_id=None if about is None else about.id,
            before=kept["before"],
            after=kept["after"],
        )
    )


async def audit_page(
    read: Read,
    *,
    first: int,
    after: tuple[datetime, UUID] | None = None,
    actor: UUID | None = None,
    action: str | None = None,
) -> list[AuditEntry]:
    """Entries, newest first, after a keyset position; one more than `first` if there are more."""
    query = select(AuditEntry).order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
    if after is not None:
        query = query.where(tuple_(AuditEntry.at, AuditEntry.id) < tuple_(*after))
    if actor is not None:
        query = query.where(AuditEntry.actor_id == actor)
    if action is not None:
        query = query.where(AuditEntry.action == action)
    return list(await read.session.scalars(query.limit(first + 1)))


async def words_by_entry(read: Read, keys: Iterable[UUID]) -> dict[UUID, AuditWords]:
    """What entries say in somebody's own words; absent where nothing was said or it is erased."""
    query = select(AuditWords).where(AuditWords.entry_id.in_(list(keys)))
    return {row.entry_id: row for row in await read.session.scalars(query)}


async def audit_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, AuditEntry]:
    """Entries by id; unknown ids are absent."""
    rows = await read.session.scalars(select(AuditEntry).where(AuditEntry.id.in_(list(keys))))
    return {row.id: row for row in rows}


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value
