"""What a month's run finds for a range of members: one statement that writes down its moves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Insert,
    SQLColumnExpression,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from app.members import Community, Member, MemberStatus
from app.tiers.growth import Near, growth_of
from app.tiers.rules import PROTECTED
from app.tiers.tables import MoveKind, Standing, StandingState, Tier, TierMove, TierRun


@dataclass(frozen=True, slots=True)
class Range:
    """Member ids in (after, upto]."""

    after: UUID | None
    upto: UUID

    def holds(self, column: SQLColumnExpression[UUID]) -> ColumnElement[bool]:
        """True of ids in the range."""
        end = column <= self.upto
        return end if self.after is None else and_(column > self.after, end)


def lives_in(zone: str) -> ColumnElement[bool]:
    """SQL predicate on `Member`: their community keeps the time of this zone."""
    return Member.community_id.in_(select(Community.id).where(Community.time_zone == zone))


def write_verdicts(run: TierRun, tiers: Sequence[Tier], within: Range) -> Insert:
    """Refresh the range's growth as of the run's cutoff, and write a move for whoever gets one.

    Of the range those are judged who live in the run's zone.
    """
    found = _people(run.cutoff, tiers[0], within.holds).where(lives_in(run.zone))
    people = found.cte("people")
    judged = _judged(run.cutoff, tiers, people).cte("judged")
    fresh = insert(Standing).from_select(
        ["member_id", "tier_code", "since", "growth", "growth_at"],
        select(
            people.c.id,
            people.c.code,
            people.c.registered_at,
            people.c.growth,
            literal(run.cutoff, DateTime(timezone=True)),
        ),
    )
    refreshed = fresh.on_conflict_do_update(
        index_elements=[Standing.member_id],
        set_={"growth": fresh.excluded.growth, "growth_at": fresh.excluded.growth_at},
        # A run of a past month leaves what is known since; what has not changed is not rewritten.
        where=and_(
            Standing.growth_at <= fresh.excluded.growth_at,
            Standing.growth != fresh.excluded.growth,
        ),
    )
    moves = select(
        judged.c.id,
        literal(run.month, Date),
        literal(run.zone, Text),
        judged.c.kind,
        judged.c.code,
        judged.c.to_code,
        judged.c.growth,
        judged.c.threshold,
    ).where(judged.c.kind.is_not(None))
    names = ["member_id", "month", "zone", "kind", "from_code", "to_code", "growth", "threshold"]
    return (
        insert(TierMove)
        .from_select(names, moves)
        .on_conflict_do_nothing()
        .add_cte(refreshed.cte("refreshed"))
    )


def verdicts_at(cutoff: datetime, tiers: Sequence[Tier], near: Near):
    """What a run at an instant would find: `id, kind, code, to_code, growth, threshold, gross`.

    `kind` is null for those whom it would leave alone; members without growth and standing are
    absent.
    """
    people = _people(cutoff, tiers[0], near).cte("people")
    return _judged(cutoff, tiers, people)


def _people(cutoff: datetime, lowest: Tier, near: Near):
    grown = growth_of(cutoff, near).subquery()
    return (
        select(
            Member.id,
            Member.registered_at,
            func.coalesce(Standing.tier_code, lowest.code).label("code"),
            func.coalesce(Standing.state, StandingState.STEADY.value).label("state"),
            Standing.last_upgrade_at,
            Standing.grace_until,
            Standing.override_until,
            func.coalesce(grown.c.growth, 0).label("growth"),
            func.coalesce(grown.c.gross, 0).label("gross"),
        )
        .outerjoin(Standing, Standing.member_id == Member.id)
        .outerjoin(grown, grown.c.member_id == Member.id)
        .where(
            near(Member.id),
            Member.status != MemberStatus.CLOSED,
            or_(grown.c.growth > 0, Standing.member_id.is_not(None)),
        )
    )


def _judged(cutoff: datetime, tiers: Sequence[Tier], people: CTE):
    ranks = {tier.code: tier.rank for tier in tiers}
    keeps = {tier.code: tier.retain_at for tier in tiers}
    downs = {upper.code: lower.code for lower, upper in pairwise(tiers)}
    highest_first = sorted(tiers, key=lambda tier: -tier.upgrade_at)
    reached = [people.c.growth >= tier.upgrade_at for tier in highest_first]
    earned = case(
        *zip(reached, (tier.code for tier in highest_first), strict=True), else_=tiers[0].code
    )
    aim = case(*zip(reached, (tier.upgrade_at for tier in highest_first), strict=True), else_=0)
    rank, earned_rank = _by(people.c.code, ranks), _by(earned, ranks)
    keep = _by(people.c.code, keeps)
    kind = _kind(cutoff, people, rises=earned_rank > rank, keep=keep, lowest=rank == tiers[0].rank)
    down = case(downs, value=people.c.code, else_=people.c.code) if downs else people.c.code
    return select(
        people.c.id,
        cast(kind, Text).label("kind"),
        people.c.code,
        case(
            (kind == MoveKind.UPGRADE.value, earned),
            (kind == MoveKind.DOWNGRADE.value, down),
            else_=people.c.code,
        ).label("to_code"),
        people.c.growth,
        cast(case((kind == MoveKind.UPGRADE.value, aim), else_=keep), BigInteger).label(
            "threshold"
        ),
        people.c.gross,
    )


def _kind(
    cutoff: datetime,
    people: CTE,
    *,
    rises: ColumnElement[bool],
    keep: ColumnElement[int],
    lowest: ColumnElement[bool],
) -> ColumnElement[str | None]:
    steady = people.c.state == StandingState.STEADY.value
    # What refunds alone took does not count against a tier: `gross` leaves them out.
    safe = or_(lowest, people.c.growth >= keep, people.c.gross >= keep)
    return case(
        (people.c.override_until > cutoff, null()),
        (rises, MoveKind.UPGRADE.value),
        (and_(safe, steady), null()),
        (safe, MoveKind.RECOVER.value),
        (people.c.last_upgrade_at > cutoff - PROTECTED, null()),
        (steady, MoveKind.AT_RISK.value),
        (people.c.state == StandingState.AT_RISK.value, MoveKind.GRACE.value),
        (people.c.grace_until <= cutoff, MoveKind.DOWNGRADE.value),
        else_=null(),
    )


def _by(column: ColumnElement[str], values: dict[str, int]) -> ColumnElement[int]:
    return case(values, value=column, else_=0)
