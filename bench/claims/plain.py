"""The same web process, but every claim is a transaction of its own: what group commit replaces.

Nothing else differs: `uvicorn bench.claims.plain:app` serves the same schema with the same limits.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from app import drops
from app.kernel.config import load_settings
from app.kernel.db import Database
from app.main import connect, create_app


class Plain:
    """Claims one by one, with the face of `drops.Claims`."""

    def __init__(self, database: Database) -> None:
        """Take its connections from the database's pool."""
        self._database = database

    async def claim(
        self, *, drop_id: UUID, member_id: UUID, key: str, given: Mapping[str, object]
    ) -> drops.Claimed:
        """Give the member one coupon in a transaction of its own."""
        async with self._database.begin() as tx:
            answer = await drops.claim_once(
                tx, drop_id=drop_id, member_id=member_id, key=key, given=given
            )
        return drops.Claimed(UUID(answer["coupon"]), datetime.fromisoformat(answer["at"]))

    async def drain(self) -> None:
        """Nothing waits here."""


def _made() -> object:
    settings = load_settings()
    parts = connect(settings)
    object.__setattr__(parts.resources, "claims", Plain(parts.resources.database))
    return create_app(settings, parts)


app = _made()
