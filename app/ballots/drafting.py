"""Drafting a ballot and opening it: what is asked, of whom, and by which rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Select, func, insert, literal, select

from app import members, orders, segments, tiers
from app.ballots.errors import BallotMethodUnavailable, BallotNotDraft, BallotNotFound
from app.ballots.events import BallotOpened
from app.ballots.rules import MAX_LABEL, MAX_OPTIONS, MAX_QUESTION, MIN_OPTIONS
from app.ballots.states import BallotMethod, BallotState, ResultsVisibility, TieRule
from app.ballots.tables import Ballot, BallotOption, RollEntry
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.text import checked_text


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that is declared before a ballot opens."""

    question: str
    options: Sequence[str]
    opens_at: datetime
    closes_at: datetime
    method: BallotMethod = BallotMethod.SINGLE
    community_id: UUID | None = None
    stages: Sequence[segments.Stage] = ()
    tiers: Sequence[str] = ()
    visibility: ResultsVisibility = ResultsVisibility.UNTIL_CLOSED
    quorum_percent: int = 0
    tie_rule: TieRule = TieRule.REJECT
    change_until_close: bool = False


async def create(tx: Tx, *, draft: Draft, staff_id: UUID) -> Ballot:
    """Write a ballot down without opening it.

    Raises BallotMethodUnavailable for anything but SINGLE, CommunityNotFound, TierNotFound, and
    InvalidInput for texts, times, options or a quorum that cannot be.
    """
    if draft.method is not BallotMethod.SINGLE:
        raise BallotMethodUnavailable(method=draft.method.value)
    question = checked_text(draft.question, field="question", longest=MAX_QUESTION)
    labels = _labels(draft.options)
    _check_times(draft, tx.now)
    await _check_audience(tx, draft)
    ballot = Ballot(
        id=tx.new_id(),
        question=question,
        method=draft.method,
        community_id=draft.community_id,
        stages=[stage.value for stage in draft.stages],
        tiers=list(draft.tiers),
        opens_at=draft.opens_at,
        closes_at=draft.closes_at,
        visibility=draft.visibility,
        quorum_percent=draft.quorum_percent,
        tie_rule=draft.tie_rule,
        change_until_close=draft.change_until_close,
        state=BallotState.DRAFT,
        created_by=staff_id,
        created_at=tx.now,
    )
    tx.session.add(ballot)
    await tx.session.flush()
    rows = [
        {"ballot_id": ballot.id, "id": tx.new_id(), "position": position, "label": label}
        for position, label in enumerate(labels)
    ]
    await tx.session.execute(insert(BallotOption), rows)
    return ballot


async def open_ballot(tx: Tx, *, ballot_id: UUID) -> Ballot:
    """Open a draft and freeze its roll in one statement; what was declared stays from here on.

    Votes are taken from `opens_at`, or from now when that is past. Raises BallotNotFound,
    BallotNotDraft, and InvalidInput when the closing time has passed.
    """
    ballot = await tx.session.get(Ballot, ballot_id, with_for_update=True, populate_existing=True)
    if ballot is None:
        raise BallotNotFound()
    if ballot.state is not BallotState.DRAFT:
        raise BallotNotDraft()
    if ballot.closes_at <= tx.now:
        raise InvalidInput(
            field="closesAt", reason="the closing time has passed", reason_zh="截止时间已过"
        )
    chosen = eligible(ballot).add_columns(literal(ballot.id))
    result = await tx.session.execute(
        insert(RollEntry).from_select(["member_id", "ballot_id"], chosen)
    )
    ballot.state = BallotState.OPEN
    ballot.opened_at = tx.now
    size = result.rowcount if isinstance(result, CursorResult) else 0
    ballot.roll_size = size
    await tx.session.flush()
    tx.emit(BallotOpened(ballot_id=ballot.id, roll_size=size))
    return ballot


def eligible(ballot: Ballot) -> "Select[UUID]":
    """The members who may vote in a ballot, were its roll frozen now.

    Active members with a verified phone and at least one settled order that counts, in the
    ballot's community, stages and tiers where it names any.
    """
    member = members.Member
    query = select(member.id).where(
        member.status == members.MemberStatus.ACTIVE,
        member.is_test.is_(False),
        member.phone_verified_at.is_not(None),
        member.id.in_(
            select(orders.Order.member_id).where(
                orders.Order.settled_at.is_not(None), orders.counts()
            )
        ),
    )
    if ballot.community_id is not None:
        query = query.where(member.community_id == ballot.community_id)
    if ballot.stages:
        chosen = [segments.Stage(stage) for stage in ballot.stages]
        query = query.where(member.id.in_(segments.members_in_stage(*chosen)))
    if ballot.tiers:
        query = query.where(_in_tier(ballot.tiers))
    return query


def _in_tier(codes: Sequence[str]) -> ColumnElement[bool]:
    """Members without a standing are in the lowest tier."""
    own = (
        select(tiers.Standing.tier_code)
        .where(tiers.Standing.member_id == members.Member.id)
        .scalar_subquery()
    )
    lowest = select(tiers.Tier.code).order_by(tiers.Tier.rank).limit(1).scalar_subquery()
    return func.coalesce(own, lowest).in_(codes)


async def _check_audience(tx: Tx, draft: Draft) -> None:
    named = [] if draft.community_id is None else [draft.community_id]
    if named and not await members.communities_by_id(tx, named):
        raise members.CommunityNotFound()
    if draft.tiers:
        wanted = set(draft.tiers)
        found = await tx.session.scalars(select(tiers.Tier.code).where(tiers.Tier.code.in_(wanted)))
        if unknown := wanted - set(found):
            raise tiers.TierNotFound(tier=min(unknown))


def _labels(options: Sequence[str]) -> list[str]:
    if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS:
        raise InvalidInput(
            field="options",
            reason=f"{MIN_OPTIONS} to {MAX_OPTIONS} options",
            reason_zh=f"{MIN_OPTIONS}至{MAX_OPTIONS}个选项",
        )
    labels = [checked_text(label, field="options", longest=MAX_LABEL) for label in options]
    if len(set(labels)) < len(labels):
        raise InvalidInput(field="options", reason="two are the same", reason_zh="选项重复")
    return labels


def _check_times(draft: Draft, now: datetime) -> None:
    if not draft.opens_at < draft.closes_at:
        raise InvalidInput(
            field="closesAt", reason="it must follow the opening", reason_zh="截止须晚于开始"
        )
    if draft.closes_at <= now:
        raise InvalidInput(field="closesAt", reason="it has passed", reason_zh="截止时间已过")
    check_within(draft.quorum_percent, 0, 100, field="quorumPercent")
