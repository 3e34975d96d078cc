"""Works in batches and hangs inside the transaction of the third, to be killed there.

`python -m tests.hanging_process gifts URL NOW` gives occasions' gifts; `playbooks` answers alerts.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime

from app import gifts, playbooks
from app.kernel.db import Database, Tx

BATCHES: dict[str, Callable[[Tx], Awaitable[object]]] = {
    "gifts": lambda tx: gifts.give_occasions(tx, most=7),
    "playbooks": lambda tx: playbooks.answer_alerts(tx, at_most=7),
}


async def main(what: str, url: str, now: datetime) -> None:
    """Work in batches of seven."""
    database = Database(url, pool_size=2, clock=lambda: now)
    for batch in range(3):
        async with database.begin() as tx:
            await BATCHES[what](tx)
            if batch == 2:
                await tx.session.flush()
                print("inside", flush=True)
                await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3])))
