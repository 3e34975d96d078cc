"""Everything that workers and schedulers run: the jobs, what sets them off, and when."""

from datetime import timedelta

from workers import upkeep
from workers.jobs import by_name
from workers.reactions import Reactions
from workers.schedule import Every, Plan, Tick

JOBS = by_name([upkeep.sweep])

REACTIONS = Reactions({}, JOBS)

PLANS: tuple[Plan, ...] = (Plan("sweep", upkeep.sweep, Every(timedelta(hours=1))),)

TICKS: tuple[Tick, ...] = ()
