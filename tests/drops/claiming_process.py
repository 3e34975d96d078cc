"""A process that claims by group commit and prints each acknowledgement: URL and drop given.

It reads member ids from its input, claims for all of them, a hundred at a time, and writes
`claimed member coupon` as soon as a claim is answered, or `failed member`.
"""

import asyncio
import os
import sys
from uuid import UUID

from app.drops import Claims
from app.kernel.db import Database

AT_ONCE = 100


async def main(url: str, drop_id: UUID, ids: list[UUID]) -> None:
    """Claim for everyone, then end in good order."""
    database = Database(url)
    claims = Claims(database)
    left = iter(ids)

    async def client() -> None:
        for one in left:
            try:
                made = await claims.claim(drop_id=drop_id, member_id=one, key="tap", given={})
            except Exception:
                said = f"failed {one}\n"
            else:
                said = f"claimed {one} {made.coupon_id}\n"
            os.write(1, said.encode())  # one write, so that a line is whole or not there

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    await claims.drain()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], UUID(sys.argv[2]), [UUID(line.strip()) for line in sys.stdin]))
