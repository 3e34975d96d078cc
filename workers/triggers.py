"""The triggers of a night, found from what came of the scores of the nights before."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from app import churn, playbooks
from app.kernel.db import Database
from app.kernel.log import logger

if TYPE_CHECKING:
    from ml.answered import Effect
    from ml.arrays import I64

log = logger(__name__)

ANSWERED_SINCE: Final = timedelta(days=365)
"""How far back actions tell what answering does: a playbook changes slower than the season."""


async def follow_triggers(database: Database, *, as_of: datetime, horizon_days: int) -> None:
    """Find and keep, for each precision that a community asks for, the trigger of a night.

    Doing it again finds the same. Where too little has happened, or the search itself breaks, the
    settings stay in force: a night is not to fail by what it could do without.
    """
    async with database.read() as read:
        asked = await churn.precisions_asked(read)
        if not asked:
            return
        rises = await churn.read_rises(read, as_of=as_of, horizon_days=horizon_days)
        actions = await playbooks.first_actions(
            read, since=as_of - ANSWERED_SINCE, until=as_of, drawn=rises.drawn
        )
    try:
        found = await asyncio.to_thread(
            _find, rises, actions, asked, int(as_of.timestamp()), horizon_days
        )
    except Exception as error:  # whatever numbers may do
        log.warning("no triggers found", why=f"{type(error).__name__}: {error}")
        found = [churn.NewTrigger(precision) for precision in asked]
    async with database.begin() as tx:
        await churn.record_triggers(tx, as_of=as_of, nights=rises.nights, found=found)


def _find(
    seen: churn.ScoreRises,
    actions: Sequence[playbooks.FirstAction],
    asked: list[float],
    now: int,
    horizon_days: int,
) -> list[churn.NewTrigger]:
    from ml.following import Rises, find

    effect = effect_by(actions, now, horizon_days)
    rises = Rises(seen.before, seen.score, seen.at, seen.woken, answered(seen, actions))
    answers: list[churn.NewTrigger] = []
    for precision in asked:
        found = find(rises, now=now, horizon_days=horizon_days, precision=precision, effect=effect)
        answers.append(
            churn.NewTrigger(precision)
            if found is None
            else churn.NewTrigger(
                precision, found.trigger, found.share, found.error, found.rises, found.days
            )
        )
    return answers


def answered(seen: churn.ScoreRises, actions: Sequence[playbooks.FirstAction]) -> "I64":
    """Since when each rise's member was answered in the same silence; NEVER for others.

    Two instants of a member lie in one silence if the same order ends it.
    """
    import numpy as np

    from ml.facts import NEVER

    first: dict[tuple[object, int], int] = {}
    for action in actions:
        if not action.held_out:
            first.setdefault((action.member_id, action.woken or NEVER), action.at)
    silences = zip(seen.members, seen.woken.tolist(), strict=True)
    return np.array([first.get(one, NEVER) for one in silences], dtype=np.int64)


def effect_by(actions: Sequence[playbooks.FirstAction], now: int, horizon_days: int) -> "Effect":
    """What answering does to the rate of orders, by the lots that were drawn."""
    import numpy as np

    from ml.answered import Actions, effect_of
    from ml.facts import NEVER

    number = {key: place for place, key in enumerate({one.experiment_id for one in actions})}
    told = Actions(
        np.array([one.at for one in actions], dtype=np.int64),
        np.array([one.woken or NEVER for one in actions], dtype=np.int64),
        np.array([one.held_out for one in actions], dtype=np.bool_),
        np.array([number[one.experiment_id] for one in actions], dtype=np.int64),
    )
    return effect_of(told, now=now, horizon_days=horizon_days)
