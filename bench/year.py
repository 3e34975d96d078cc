"""A year of the simulator with alerts and a playbook: `python -m bench.year --members 2500`.

Everything runs as in an installation, in an own server that is thrown away, under a clock that
jumps: the world lives half a week, stages are judged, members are scored on Mondays, alerts rise,
escalate and are answered on Mondays and Thursdays, and what was done changes the members' lives
from the next week on. Members held out are left as they are.

At the end what the product measured is laid beside what the simulator knows:

- the effect: treated against held out (`playbooks.effects_by_playbook`), beside the same lives gone
  on with from each member's first action, once with the playbook and once with nothing, five times
  each with new luck;
- the lead time and how right alerts were, on the lives of members held out, beside a recency rule
  and BG/NBD with as many warnings (`bench/year_lead.py`), and how long the first alert that was
  right came before the day from which the member, by the world's own books, stayed away;
- what triggers were found night by night, and how far ahead signals of use came.

Nothing here says how good a model is on people: members follow rules that we wrote.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
from alembic import command

from app import churn, simulated
from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.embedded import start_postgres
from bench.year_lived import BEFORE, FIRST, Year, set_up_playbook, settle, step
from bench.year_shown import show_effect, show_lead, show_learned, show_signals, show_triggers
from cli.migrating import alembic_config
from simulation import MONTH


async def run(year: Year, weeks: int) -> bool:
    """Live the months before and the year; answers whether the effect's interval covers truth."""
    began = time.perf_counter()
    await year.timed("facts", year.live(FIRST))
    playbook = await set_up_playbook(year)
    for week in range(weeks):
        monday = FIRST + timedelta(weeks=week)
        await step(year, monday, week, monday=True)
        await step(year, monday + timedelta(days=3), week, monday=False)
        if week % 8 == 7:
            took = time.perf_counter() - began
            print(f"  week {week + 1} lived after {took:,.0f} s", flush=True)
    end = FIRST + timedelta(weeks=weeks)
    await year.timed("facts", year.live(end))
    await settle(year)
    covers = await show_effect(year, playbook, end)
    await show_lead(year, playbook, end)
    await show_signals(year, end)
    await show_triggers(year)
    await show_learned(year)
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in year.spent.items())
    print(f"{time.perf_counter() - began:,.0f} s in all: {parts}")
    print(
        f"processor seconds: {time.process_time():,.0f} here, {server_seconds():,.0f} PostgreSQL's"
    )
    return covers


def server_seconds() -> float:
    """Processor seconds of the server that this process started, its workers included."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


async def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--members", type=int, default=2_500)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--trigger", type=float, default=churn.TRIGGER)
    parser.add_argument("--precision", type=float, default=churn.PRECISION)
    parser.add_argument("--fixed", action="store_true", help="keep the trigger where it is set")
    parser.add_argument(
        "--signals", default="LOWER", choices=[one.value for one in churn.SignalEffect]
    )
    given = parser.parse_args()
    months = BEFORE + given.weeks / 4.35
    wanted = simulated.World(given.seed, given.members, months, FIRST - BEFORE * MONTH)
    by = churn.TriggerBy.FIXED if given.fixed else churn.TriggerBy.PRECISION
    rules: dict[str, object] = {
        "churn_trigger": given.trigger,
        "churn_trigger_by": by.value,
        "churn_precision": given.precision,
        "churn_signal_effect": given.signals,
    }
    with tempfile.TemporaryDirectory() as folder:
        server = start_postgres(Path(folder) / "server", durable=False)
        try:
            await asyncio.to_thread(command.upgrade, alembic_config(server.url), "head")
            database = Database(server.url)
            settings = Settings(env="test", database_url=server.url)
            kept = Path(folder) / "kept"
            await run(Year(database, settings, wanted, kept, rules), given.weeks)
            await database.close()
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
