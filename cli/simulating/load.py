"""Living a world on: block by block into the database, going on where an earlier run stopped."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from app import simulated
from app.kernel.config import Settings
from app.kernel.crypto import Vault
from app.kernel.db import Database, Tx
from cli.simulating.ids import Ids
from cli.simulating.rows import Setting, communities_of, facts_of
from simulation import Block, Measures, World

# Told after each block: the share of the time to be lived that is stored, 0 to 1.
Report = Callable[[float], None]


@dataclass(slots=True)
class Loaded:
    """What a run stored, by neutral table, and up to where the world has been lived."""

    world: simulated.World
    reached: datetime
    rows: Counter[str] = field(default_factory=Counter[str])


def _silently(share: float) -> None:
    """Progress that nobody watches."""


async def simulate_into(
    database: Database,
    settings: Settings,
    *,
    wanted: simulated.World,
    until: datetime,
    report: Report = _silently,
    measures: Measures | None = None,
    lived: World | None = None,
) -> Loaded:
    """Live a world up to an instant; facts that are stored already are left alone.

    Each block is stored by one transaction together with the count of blocks, so that a killed run
    is continued by calling this again. What is done for members (`measures`) changes their lives
    from the next week on. `lived` is the same world as an object that is used again and again, so
    that it can go on from where it was. Raises simulated.WorldDiffers, WorldAhead and WorldBusy.
    """
    async with database.begin() as tx:
        there = await simulated.open_world(tx, wanted=wanted)
    world = lived or World(there.seed, there.members, there.start, there.months)
    loader = _Loader(database, settings, world, measures)
    loaded = Loaded(there, until)
    # An interrupted leg is brought to its own end first, as the cut of the blocks depends on it.
    while True:
        async with database.begin() as tx:
            leg = await simulated.begin_leg(tx, until=until)
        if leg is None:
            return loaded
        loaded.rows += await loader.live(leg, report)


class _Loader:
    """One world with what its rows need."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        world: World,
        measures: Measures | None,
    ) -> None:
        self._database, self._settings = database, settings
        self._world = world
        if measures is not None:
            self._world.measures = measures
        self._ids, self._vault = Ids(self._world), Vault.from_settings(settings)

    async def live(self, leg: simulated.Leg, report: Report) -> Counter[str]:
        """Store the blocks of a leg that are not stored yet."""
        stored: Counter[str] = Counter()
        blocks = self._world.blocks(leg.until, leg.since)
        # Blocks are made again and again alike: those that are stored need only be passed over.
        for number, block in enumerate(islice(blocks, leg.stored, None), leg.stored):
            async with self._database.begin() as tx:
                await simulated.take_turn(tx, leg=leg, number=number)
                await self._store(tx, block)
            stored.update({name: len(table) for name, table in block.tables()})
            report(_share(block, leg))
        async with self._database.begin() as tx:
            await simulated.finish_leg(tx, leg=leg)
        return stored

    async def _store(self, tx: Tx, block: Block) -> None:
        names = self._world.places.names
        fresh = communities_of(block.communities, names, self._ids)
        known = await simulated.open_communities(tx, fresh, names=names)
        homes = {key: known[name] for key, name in enumerate(names) if name in known}
        setting = Setting(self._ids, homes, self._vault, self._settings.wechat_app_id)
        await simulated.store(tx, facts=facts_of(block, setting))


def _share(block: Block, leg: simulated.Leg) -> float:
    """How far into the leg a block reaches, by the last thing that happened in it."""
    if not len(block.events):
        return 0.0
    last = int(block.events["at"].astype("int64").max())
    begin, end = leg.since.timestamp(), leg.until.timestamp()
    return min(1.0, max(0.0, (last - begin) / (end - begin)))
