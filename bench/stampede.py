"""Ten thousand members on five hundred coupons, over HTTP, while processes are killed.

`python -m bench.stampede` starts a durable PostgreSQL, a Valkey and two `linli serve` in a folder
that is thrown away. On the way Valkey is killed, and twice one of the API processes; a supervisor
starts each again. Clients ask again by their idempotency key. Whoever gets a coupon uses it, and in
the end everybody taps once more. What clients were told is compared with the rows in PostgreSQL.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from alembic import command

from cli.migrating import alembic_config
from tests.chaos.rig import House, stores
from tests.chaos.stampede import Result, stampede


async def run(folder: Path, *, people: int, stock: int) -> Result:
    """One stampede in a house of its own."""
    async with stores(folder / "stores") as made:
        url = await made.database("stampede")
        await asyncio.to_thread(command.upgrade, alembic_config(url), "head")
        house = House(made, url, folder)
        try:
            await asyncio.gather(house.add_api(), house.add_api())
            return await stampede(house, people=people, stock=stock, say=_say)
        finally:
            await house.end()


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Print the figures of each round; the exit code is 1 if anything is lost or double."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--coupons", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    failed = False
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.chmod(folder, 0o755)
            result = asyncio.run(run(folder, people=given.members, stock=given.coupons))
        print(result)
        print("answers: " + ", ".join(f"{n:,} {code}" for code, n in result.codes.most_common()))
        for line in result.wrong:
            print(f"WRONG: {line}")
        failed = failed or bool(result.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
