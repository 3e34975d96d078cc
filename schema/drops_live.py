"""A drop's stock as it goes, live, at a pace that people can watch."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import strawberry

from app import drops
from schema.context import Info
from schema.drops import Drop, Picture, drop_of
from schema.fields import subscription
from schema.guard import SIGNED_IN
from schema.live import followed
from schema.nodes import key_of
from schema.pacing import paced
from schema.paging import decode_cursor, encode_cursor

# At most five pictures a second.
PACE_SECONDS = 0.2


@strawberry.type(description="A drop as it looked at a moment.")
class DropUpdate:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    drop: Drop = strawberry.field(description="The drop at that moment.")


def _update(row: drops.Drop, picture: Picture) -> DropUpdate:
    return DropUpdate(
        cursor=encode_cursor(picture.seq, picture.version), drop=drop_of(row, picture)
    )


def _natural(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError("not a place in a stream")
    return value


async def _pictures(info: Info, drop_id: UUID, after: int) -> AsyncGenerator[Picture]:
    async with aclosing(followed(info, drops.drop_topic(drop_id), after)) as facts:
        async for fact in facts:
            yield Picture.of_fact(fact)


@strawberry.type(description="Subscriptions of drops.")
class DropsSubscription:
    @subscription(
        SIGNED_IN,
        description=(
            "A drop as it opens, sells and ends: how it looks now at once (unless `after` says "
            "what was seen), then its newest look whenever it changes, at most five times a "
            "second."
        ),
    )
    async def drop_updated(
        self,
        info: Info,
        drop_id: Annotated[strawberry.ID, strawberry.argument(description="The drop.")],
        after: Annotated[
            str | None,
            strawberry.argument(description="The cursor of the last update seen, to miss none."),
        ] = None,
    ) -> AsyncGenerator[DropUpdate]:
        key = key_of(drop_id, "Drop", "dropId")
        seen = None if after is None else decode_cursor(after, _natural, _natural)
        # The cursor first, then the picture: whatever changes in between is in the picture too.
        head = seen[0] if seen is not None else await info.context.live.head()
        row = await info.context.one(drops.by_id, key)
        if row is None:
            raise drops.DropNotFound()
        if seen is None:
            version = row.version
            yield _update(row, Picture.of_row(row, head))
        else:
            version = seen[1]
        changes = paced(
            _pictures(info, key, head), seconds=PACE_SECONDS, merge=lambda a, b: a.merged(b)
        )
        async with aclosing(changes):
            async for picture in changes:
                # A picture already shown, or overtaken by a newer one, is not shown again.
                if picture.version > version:
                    version = picture.version
                    yield _update(row, picture)
