"""What the server says of itself."""

from collections.abc import AsyncIterable
from datetime import datetime

import strawberry

from app import __version__
from app.kernel.live import Fact
from schema.context import Ctx, Info
from schema.fields import query, subscription
from schema.guard import PUBLIC
from schema.streams import FactStream
from schema.ticking import TICKER


@strawberry.type(description="What the server says of itself.")
class ServerInfo:
    name: str = strawberry.field(description="Always Linli.")
    version: str = strawberry.field(description="The server's version.")
    environment: str = strawberry.field(description="development, test or production.")
    time: datetime = strawberry.field(
        description="The server's clock, by which clients align their countdowns."
    )
    time_zone: str = strawberry.field(description="The platform's own time zone.")


@strawberry.type(description="Queries of the server.")
class ServerQuery:
    @query(PUBLIC, description="What the server says of itself.")
    async def server_info(self, info: Info) -> ServerInfo:
        return ServerInfo(
            name="Linli",
            version=__version__,
            environment=info.context.settings.env,
            time=info.context.database.clock(),
            time_zone=info.context.settings.time_zone,
        )


@strawberry.type(description="The server's clock at a moment.")
class ServerTime:
    time: datetime = strawberry.field(description="The instant, at a whole second.")


async def _tick(ctx: Ctx, _: Fact) -> ServerTime:
    return ServerTime(time=ctx.database.clock().replace(microsecond=0))


@strawberry.type(description="Subscriptions of the server.")
class ServerSubscription:
    @subscription(
        PUBLIC,
        description="The server's clock, every second at the whole second: clients align their "
        "countdowns by it.",
    )
    async def server_time(self, info: Info) -> AsyncIterable[ServerTime]:
        return FactStream[ServerTime](
            ctx=info.context,
            topic="time",
            shared=True,
            event=_tick,
            source=TICKER,
            latest_only=True,
        )
