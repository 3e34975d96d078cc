"""A process that answers alerts and hangs inside the transaction of its third batch."""

import asyncio
import sys
from datetime import datetime

from app import playbooks
from app.kernel.db import Database


async def main(url: str, now: datetime) -> None:
    """Answer batches of seven."""
    database = Database(url, pool_size=2, clock=lambda: now)
    for batch in range(3):
        async with database.begin() as tx:
            await playbooks.answer_alerts(tx, at_most=7)
            if batch == 2:
                await tx.session.flush()
                print("inside", flush=True)
                await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2])))
