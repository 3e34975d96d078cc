"""The invented world in this database, and how far it has been lived: the face of the slice.

For demonstrations and tests only. The facts come from outside; here they are stored so that a run
which was killed goes on where it was.
"""

from app.simulated.checkins import record_check_ins
from app.simulated.errors import WorldAhead, WorldBusy, WorldDiffers
from app.simulated.facts import Facts
from app.simulated.loading import open_communities, store
from app.simulated.tables import DemoStep, SimulatedWorld
from app.simulated.worlds import (
    SOURCE,
    Leg,
    World,
    begin_leg,
    begin_step,
    finish_leg,
    is_done,
    open_world,
    present_world,
    take_turn,
)

__all__ = [
    "SOURCE",
    "DemoStep",
    "Facts",
    "Leg",
    "SimulatedWorld",
    "World",
    "WorldAhead",
    "WorldBusy",
    "WorldDiffers",
    "begin_leg",
    "begin_step",
    "finish_leg",
    "is_done",
    "open_communities",
    "open_world",
    "present_world",
    "record_check_ins",
    "store",
    "take_turn",
]
