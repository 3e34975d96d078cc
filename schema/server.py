"""What the server says of itself."""

from datetime import datetime

import strawberry

from app import __version__
from schema.context import Info
from schema.fields import query
from schema.guard import PUBLIC


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
