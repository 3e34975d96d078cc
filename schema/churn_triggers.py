"""The triggers that nights found from what came of the scores, for staff."""

from datetime import datetime
from typing import Annotated

import strawberry

from app import churn
from app.kernel.numbers import check_within
from schema.context import Info
from schema.fields import query
from schema.guard import OFFICE

MOST = 400


@strawberry.type(
    description="The probability from which, one night, alerts had to be raised so that a stated "
    "share of them is right; and what that rests on. Null figures: too little had happened."
)
class ChurnTriggerNight:
    as_of: datetime = strawberry.field(
        description="The night: nothing at or after this instant was looked at."
    )
    precision: float = strawberry.field(description="The share of alerts that shall be right.")
    trigger: float | None = strawberry.field(
        description="The lowest probability that reaches it. In force within 0.2 of the "
        "community's own setting."
    )
    share: float | None = strawberry.field(
        description="The share of rises through it that end in silence, by the life table."
    )
    share_error: float | None = strawberry.field(description="The standard error of that share.")
    rises: int | None = strawberry.field(description="How many rises were seen.")
    days: int | None = strawberry.field(description="In how many days of the calendar.")
    nights: int = strawberry.field(description="How many nights of scores were looked at.")


@strawberry.type(description="Queries of triggers.")
class ChurnTriggerQuery:
    @query(
        OFFICE,
        description="What trigger each night found for each precision that communities ask for, "
        "the newest first.",
    )
    async def churn_triggers(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many, from 1 to 400.")] = 30,
    ) -> list[ChurnTriggerNight]:
        check_within(first, 1, MOST, field="first")
        async with info.context.read() as read:
            rows = await churn.triggers(read, first=first)
        names = ("as_of", "precision", "trigger", "share", "share_error", "rises", "days", "nights")
        return [ChurnTriggerNight(**{name: getattr(row, name) for name in names}) for row in rows]
