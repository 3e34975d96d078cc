"""A drop's stock as it goes, live, at a pace that people can watch."""

from collections.abc import AsyncIterable
from typing import Annotated
from uuid import UUID

import strawberry

from app import drops
from app.kernel.live import Fact
from schema.context import Ctx, Info
from schema.drops import Drop, Picture, drop_of
from schema.fields import subscription
from schema.guard import SIGNED_IN
from schema.live import check_reached, natural
from schema.nodes import key_of
from schema.paging import decode_cursor, encode_cursor
from schema.streams import Look, StateStream


@strawberry.type(description="A drop as it looked at a moment.")
class DropUpdate:
    cursor: str = strawberry.field(
        description="Where this lies in the stream: pass it as `after` when subscribing again."
    )
    drop: Drop = strawberry.field(description="The drop at that moment.")


class _Showing:
    """A drop that is watched: its row as it was read once, its newest picture from the facts."""

    def __init__(self, key: UUID) -> None:
        self._key = key
        self._row: drops.Drop | None = None
        self._picture: Picture | None = None

    def hear(self, fact: Fact) -> None:
        """Keep the newest picture: facts may arrive out of order."""
        picture = Picture.of_fact(fact)
        self._picture = picture if self._picture is None else self._picture.merged(picture)

    async def look(self, ctx: Ctx, seq: int) -> Look[DropUpdate]:
        """The newest picture. Raises DropNotFound."""
        if self._row is None:
            self._row = await ctx.one(drops.by_id, self._key)
            if self._row is None:
                raise drops.DropNotFound()
            read = Picture.of_row(self._row, seq)
            self._picture = read if self._picture is None else self._picture.merged(read)
        picture = self._picture or Picture.of_row(self._row, seq)
        cursor = encode_cursor(max(seq, picture.seq), picture.version)
        event = DropUpdate(cursor=cursor, drop=drop_of(self._row, picture))
        return Look(event, place=picture.version)


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
    ) -> AsyncIterable[DropUpdate]:
        key = key_of(drop_id, "Drop", "dropId")
        seen: int | None = None
        if after is not None:
            seq, seen = decode_cursor(after, natural, natural)
            await check_reached(info.context, seq)
        return StateStream[DropUpdate](
            ctx=info.context,
            topic=drops.drop_topic(key),
            shared=True,
            state=_Showing(key),
            seen=seen,
        )
