"""What members say and do: votes on two ballots, and eco actions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select

from app import ballots, eco
from app.ballots import ResultsVisibility, TieRule
from app.kernel.db import Tx
from cli.demo.people import owner_of

VOTERS: Final = 24
_OPEN: Final = timedelta(days=7)
_BALLOTS: Final = (
    (
        "团购商品什么时候送到最方便？",
        ("上午 9–12点", "下午 14–17点", "傍晚 17–20点"),
        ResultsVisibility.LIVE,
    ),
    (
        "下周的水果团，您想选哪一种？",
        ("赣南脐橙", "丹东草莓", "海南芒果", "库尔勒香梨"),
        ResultsVisibility.LIVE,
    ),
)


async def open_ballots(tx: Tx, *, spared: UUID | None) -> None:
    """Two open ballots with some votes; the star is spared, so that a visitor can vote as them."""
    by = await owner_of(tx)
    if by is None:
        return
    for question, options, visibility in _BALLOTS:
        draft = ballots.Draft(
            question=question,
            options=options,
            opens_at=tx.now,
            closes_at=tx.now + _OPEN,
            visibility=visibility,
            tie_rule=TieRule.FIRST_LISTED,
        )
        ballot = await ballots.create(tx, draft=draft, staff_id=by)
        await ballots.open_ballot(tx, ballot_id=ballot.id)
        await _vote(tx, ballot.id, spared)


async def _vote(tx: Tx, ballot_id: UUID, spared: UUID | None) -> None:
    option, roll = ballots.BallotOption, ballots.RollEntry
    options = list(
        await tx.session.scalars(
            select(option.id).where(option.ballot_id == ballot_id).order_by(option.position)
        )
    )
    voters = await tx.session.scalars(
        select(roll.member_id)
        .where(roll.ballot_id == ballot_id, roll.member_id.is_distinct_from(spared))
        .order_by(roll.member_id)
        .limit(VOTERS)
    )
    for place, member_id in enumerate(voters.all()):
        # Every second voter likes the last option best.
        chosen = options[-1] if place % 2 else options[place // 2 % len(options)]
        await ballots.cast(tx, ballot_id=ballot_id, member_id=member_id, option_id=chosen)


async def act_green(tx: Tx, *, member_ids: Sequence[UUID], star: UUID | None) -> None:
    """The star's verified action, and others' that wait for staff."""
    by = await owner_of(tx)
    types = list(eco.EcoType)
    for place, member_id in enumerate(member_ids):
        action = await eco.submit(
            tx,
            member_id=member_id,
            type=types[place % len(types)],
            evidence_kind=eco.EvidenceKind.LEADER_SCAN,
            evidence=f"演示扫码 {place + 1}",
        )
        if member_id == star and by is not None:
            await eco.verify(tx, action_id=action.id, actor_id=by)
