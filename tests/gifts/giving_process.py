"""A process that gives occasions' gifts and hangs inside the transaction of its third batch."""

import asyncio
import sys
from datetime import datetime

from app import gifts
from app.kernel.db import Database


async def main(url: str, now: datetime) -> None:
    """Give batches of seven."""
    database = Database(url, pool_size=2, clock=lambda: now)
    for batch in range(3):
        async with database.begin() as tx:
            await gifts.give_occasions(tx, most=7)
            if batch == 2:
                await tx.session.flush()
                print("inside", flush=True)
                await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2])))
