"""The audit log over GraphQL: what staff and partners did."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import staff as accounts
from app.kernel.auth import Role
from app.kernel.errors import InvalidInput
from schema.context import Info
from schema.enums import describe
from schema.fields import query
from schema.guard import staff
from schema.nodes import Node, NodeLoader, global_id, read_id
from schema.paging import BY_INSTANT, After, Connection, First

OWNERS = staff(Role.OWNER)
# What the kinds of actor are called among ids; an operator at the command line has none.
ACTORS = {"staff": "StaffAccount", "partner": "ApiKey"}

describe(
    accounts.Outcome,
    "What became of an action.",
    name="AuditOutcome",
    DONE="It was done.",
    REFUSED="It was tried without the right to.",
)


@strawberry.type(description="One thing that staff, a partner or an operator did; kept for good.")
class AuditEntry(Node):
    at: datetime = strawberry.field(description="When.")
    actor_kind: str = strawberry.field(
        description="Who: staff, partner, or operator for the command line."
    )
    actor_id: strawberry.ID | None = strawberry.field(
        description="The staff account or partner key; null for operators."
    )
    action: str = strawberry.field(description="The mutation or command, such as adjustPoints.")
    outcome: accounts.Outcome = strawberry.field(description="What became of it.")
    given: strawberry.scalars.JSON = strawberry.field(
        description="The input, secrets blanked; of batches only their size."
    )
    subject_kind: str | None = strawberry.field(
        description="The table that it was about, such as campaign."
    )
    subject_id: str | None = strawberry.field(description="The key of its row, a UUID.")
    before: strawberry.scalars.JSON | None = strawberry.field(
        description="What it changed, as it was; null for what was made."
    )
    after: strawberry.scalars.JSON | None = strawberry.field(
        description="What it changed, as it became; of batches what became of the rows."
    )
    address: str | None = strawberry.field(description="The network address it came from.")
    request_id: str | None = strawberry.field(description="The request, as the logs name it.")


def entry_of(row: accounts.AuditEntry, words: accounts.AuditWords | None) -> AuditEntry:
    """The GraphQL value of an entry, with what it says in somebody's words while that is kept."""
    kind = ACTORS.get(row.actor_kind)
    given, before, after = row.given, row.before, row.after
    if words is not None:
        given = {**given, **words.given}
        before = None if before is None else {**before, **words.before}
        after = None if after is None else {**after, **words.after}
    return AuditEntry(
        id=global_id("AuditEntry", row.id),
        at=row.at,
        actor_kind=row.actor_kind,
        actor_id=None if kind is None else global_id(kind, row.actor_id),
        action=row.action,
        outcome=row.outcome,
        given=strawberry.scalars.JSON(given),
        subject_kind=row.subject_kind,
        subject_id=None if row.subject_id is None else str(row.subject_id),
        before=None if before is None else strawberry.scalars.JSON(before),
        after=None if after is None else strawberry.scalars.JSON(after),
        address=row.address,
        request_id=row.request_id,
    )


async def load_entry(info: Info, key: UUID) -> AuditEntry | None:
    """An entry, for owners."""
    if not OWNERS.test(info.context.caller):
        return None
    row = await info.context.one(accounts.audit_by_id, key)
    if row is None:
        return None
    return entry_of(row, await info.context.one(accounts.words_by_entry, key))


NODES: dict[str, NodeLoader] = {"AuditEntry": load_entry}


def _actor(given: str) -> UUID:
    kind, key = read_id(given, "actor")
    if kind not in ACTORS.values():
        raise InvalidInput(
            field="actor",
            reason="this is no id of a staff account or a partner key",
            reason_zh="需要员工账号或合作密钥的编号",
        )
    return key


@strawberry.type(description="Queries of the audit log.")
class AuditQuery:
    @query(OWNERS, description="What staff, partners and operators did, newest first.")
    async def audit_log(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        actor: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="Only what this staff account or partner key did."),
        ] = None,
        action: Annotated[
            str | None,
            strawberry.argument(description="Only this mutation or command, such as linkPhone."),
        ] = None,
    ) -> Connection[AuditEntry]:
        asked = BY_INSTANT.asked(first, after)
        async with info.context.read() as read:
            rows = await accounts.audit_page(
                read,
                first=asked.size,
                after=asked.position,
                actor=None if actor is None else _actor(actor),
                action=action,
            )
            words = await accounts.words_by_entry(read, [row.id for row in rows])
        return asked.page(
            rows,
            node=lambda row: entry_of(row, words.get(row.id)),
            key=lambda row: (row.at, row.id),
        )
