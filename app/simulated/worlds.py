"""The world of a database and the turns in which its facts are stored."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Read, Tx
from app.simulated.errors import WorldAhead, WorldBusy, WorldDiffers
from app.simulated.tables import DemoStep, SimulatedWorld

SOURCE = "simulation"
_ONLY = 1
# Under this share of what was lived so far a step is too small to change plans.
_LITTLE = 0.1
_TABLES = (
    *("member", "identity", "member_order", "order_line", "refund", "activity"),
    *("coupon", "coupon_redemption"),
)


@dataclass(frozen=True, slots=True)
class World:
    """What makes a world: equal ones have equal facts."""

    seed: int
    members: int
    months: float
    start: datetime


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of a world's time, and how many of its blocks are stored already."""

    since: datetime
    until: datetime
    stored: int


async def present_world(read: Read) -> World | None:
    """The world of this database."""
    row = await read.session.get(SimulatedWorld, _ONLY)
    return None if row is None else _world(row)


async def open_world(tx: Tx, *, wanted: World) -> World:
    """Begin a world, or answer the one there is; its start is kept.

    Raises WorldDiffers when that has other members, months or seed.
    """
    await tx.session.execute(
        insert(SimulatedWorld)
        .values(
            id=_ONLY,
            seed=wanted.seed,
            members=wanted.members,
            months=wanted.months,
            start=wanted.start,
            reached=wanted.start,
            leg_blocks=0,
        )
        .on_conflict_do_nothing()
    )
    there = _world(await tx.session.get_one(SimulatedWorld, _ONLY, populate_existing=True))
    parameters = ("seed", "members", "months")
    if any(getattr(there, name) != getattr(wanted, name) for name in parameters):
        raise WorldDiffers(seed=there.seed, members=there.members, months=f"{there.months:g}")
    return there


async def begin_leg(tx: Tx, *, until: datetime) -> Leg | None:
    """The stretch to be stored next: the one that was interrupted, or up to `until`; None if done.

    Raises WorldAhead when the world has been lived further than `until`.
    """
    row = await _locked(tx)
    if row.leg_until is None:
        if until < row.reached:
            raise WorldAhead(reached=row.reached.isoformat(), asked=until.isoformat())
        if until == row.reached:
            return None
        row.leg_until, row.leg_blocks = until, 0
        await tx.session.flush()
    return Leg(row.reached, row.leg_until, row.leg_blocks)


async def take_turn(tx: Tx, *, leg: Leg, number: int) -> None:
    """Count a block of the leg as stored, with this transaction; blocks are numbered from 0.

    Raises WorldBusy when it is not this block's turn, which means that somebody else stores too.
    """
    row = await _locked(tx)
    if row.leg_until != leg.until or row.leg_blocks != number:
        raise WorldBusy()
    row.leg_blocks += 1
    await tx.session.flush()


async def finish_leg(tx: Tx, *, leg: Leg) -> None:
    """Move the world to the end of a leg whose blocks are all stored. Raises WorldBusy."""
    row = await _locked(tx)
    if row.leg_until != leg.until:
        raise WorldBusy()
    row.reached, row.leg_until, row.leg_blocks = leg.until, None, 0
    await tx.session.flush()
    # A short step of a long life changes no plan; the server looks by itself when many make one.
    if leg.until - leg.since >= _LITTLE * (leg.until - row.start):
        await tx.session.execute(text(f"ANALYZE {', '.join(_TABLES)}"))


async def begin_step(tx: Tx, *, name: str) -> bool:
    """True once a step of the demo: for the transaction that does it."""
    fresh = await tx.session.scalar(
        insert(DemoStep)
        .values(name=name, done_at=tx.now)
        .on_conflict_do_nothing()
        .returning(DemoStep.name)
    )
    return fresh is not None


async def is_done(read: Read, *, name: str) -> bool:
    """Whether a step of the demo was done."""
    return await read.session.get(DemoStep, name) is not None


async def _locked(tx: Tx) -> SimulatedWorld:
    row = await tx.session.scalar(
        select(SimulatedWorld).with_for_update().execution_options(populate_existing=True)
    )
    if row is None:
        raise WorldBusy()
    return row


def _world(row: SimulatedWorld) -> World:
    return World(row.seed, row.members, row.months, row.start)
