"""Notices to staff over GraphQL: what nightly checks found and somebody ought to look at."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import strawberry

from app import staff as accounts
from app.kernel.auth import Role, StaffCaller
from app.kernel.errors import NotAllowed
from schema.context import Info
from schema.fields import mutation, query
from schema.guard import OFFICE, staff
from schema.nodes import Node, NodeLoader, global_id, key_of
from schema.paging import BY_INSTANT, After, Connection, First

KIND = "StaffNotice"


@strawberry.type(description="Something that a check found and that staff ought to look at.")
class StaffNotice(Node):
    kind: str = strawberry.field(
        description="What was found, such as points.breach for a ledger that does not add up."
    )
    subject: str = strawberry.field(description="What it is about, as the check names it.")
    day: date = strawberry.field(
        description="The business day it was found on; one notice of a kind and subject a day."
    )
    facts: strawberry.scalars.JSON = strawberry.field(description="The figures found, by name.")
    at: datetime = strawberry.field(description="When it was found.")
    acknowledged_at: datetime | None = strawberry.field(
        description="When somebody saw to it; null while it waits."
    )
    acknowledged_by: strawberry.ID | None = strawberry.field(
        description="The staff account that did; null while it waits."
    )


def notice_of(row: accounts.StaffNotice) -> StaffNotice:
    """The GraphQL value of a notice."""
    who = row.acknowledged_by
    return StaffNotice(
        id=global_id(KIND, row.id),
        kind=row.kind,
        subject=row.subject,
        day=row.day,
        facts=strawberry.scalars.JSON(row.facts),
        at=row.at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=None if who is None else global_id("StaffAccount", who),
    )


async def load_notice(info: Info, key: UUID) -> StaffNotice | None:
    """A notice, for the staff who see the whole platform."""
    if not OFFICE.test(info.context.caller):
        return None
    row = await info.context.one(accounts.notices_by_id, key)
    return None if row is None else notice_of(row)


NODES: dict[str, NodeLoader] = {KIND: load_notice}


@strawberry.type(description="Queries of notices.")
class NoticesQuery:
    @query(OFFICE, description="What checks found that staff ought to look at, newest first.")
    async def staff_notices(
        self,
        info: Info,
        first: First = 20,
        after: After = None,
        waiting: Annotated[
            bool,
            strawberry.argument(description="Only what nobody has acknowledged yet."),
        ] = False,
    ) -> Connection[StaffNotice]:
        asked = BY_INSTANT.asked(first, after)
        async with info.context.read() as read:
            rows = await accounts.notices_page(
                read,
                first=asked.size,
                after=asked.position,
                waiting=waiting,
            )
        return asked.page(rows, node=notice_of, key=lambda row: (row.at, row.id))


@strawberry.input(description="A notice that somebody has seen to.")
class AcknowledgeNoticeInput:
    id: strawberry.ID = strawberry.field(description="The notice.")


@strawberry.type(description="The notice is acknowledged.")
class AcknowledgeNoticeSuccess:
    notice: StaffNotice = strawberry.field(description="The notice, with who saw to it first.")


@strawberry.type(description="Mutations of notices.")
class NoticesMutation:
    @mutation(
        staff(Role.CAMPAIGN_MANAGER, Role.SUPPORT),
        AcknowledgeNoticeSuccess,
        refusals=[accounts.NoticeNotFound],
        description="Notes that the caller has seen to a notice; again it changes nothing.",
    )
    async def acknowledge_notice(
        self, info: Info, input: AcknowledgeNoticeInput
    ) -> AcknowledgeNoticeSuccess:
        caller = info.context.caller
        if not isinstance(caller, StaffCaller):
            raise NotAllowed()
        key = key_of(input.id, KIND)
        about = accounts.subject(accounts.StaffNotice, key)
        async with info.context.begin(about=about) as tx:
            row = await accounts.acknowledge_notice(tx, notice_id=key, actor_id=caller.id)
        return AcknowledgeNoticeSuccess(notice=notice_of(row))
