"""Signals: log-ins and time of use held against the member's own 28 days before, in set SQL.

The windows move with every day, and events arrive late, so a night counts the sessions of 56 days
anew in one pass over the block range index of `activity.at`; it writes only signals that begin,
go on or end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    DateTime,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ColumnElement

from app.churn.rules import signal_windows
from app.churn.settings import least_sessions, logins_fall, usage_fall
from app.churn.tables import ChurnSignal, SignalKind, SignalOutcome
from app.kernel.db import Read, Tx
from app.kernel.sets import planned_for_sets
from app.members import Community, Member, MemberStatus
from app.orders import Activity, ActivityKind


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at signals found: those that began, went on, came back to normal, or faded."""

    opened: int = 0
    ongoing: int = 0
    recovered: int = 0
    faded: int = 0

    def __add__(self, other: "Looked") -> "Looked":
        """The sums of two looks."""
        return Looked(
            self.opened + other.opened,
            self.ongoing + other.ongoing,
            self.recovered + other.recovered,
            self.faded + other.faded,
        )


async def time_zones(read: Read) -> list[str]:
    """The time zones that communities are in: each has business days of its own."""
    zones = select(Community.time_zone).distinct().order_by(Community.time_zone)
    return list(await read.session.scalars(zones))


async def look_at_signals(tx: Tx, *, zone: str, at: datetime | None = None) -> Looked:
    """Begin, follow and end the signals of the members in a time zone, as of the day of `at`.

    The day itself is not over and does not count. Looking again at the same day, or at an earlier
    one, changes nothing that a later look has found.
    """
    windows = signal_windows(at or tx.now, zone)
    homes = _homes(zone)
    figures = _figures(windows)
    moved = _follow(homes, figures, windows[2])
    opened = _open(homes, figures, windows[2])

    def moved_to(outcome: SignalOutcome | None) -> Any:
        is_it = moved.c.outcome.is_(None) if outcome is None else moved.c.outcome == outcome
        return select(func.count()).select_from(moved).where(is_it).scalar_subquery()

    counts = select(
        select(func.count()).select_from(opened).scalar_subquery(),
        moved_to(None),
        moved_to(SignalOutcome.RECOVERED),
        moved_to(SignalOutcome.FADED),
    )
    async with planned_for_sets(tx):
        row = (await tx.session.execute(counts)).one()
    return Looked(*row)


async def open_signals_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[ChurnSignal]]:
    """The signals that are open for each member, at most one of each kind."""
    rows = await read.session.scalars(
        select(ChurnSignal)
        .where(ChurnSignal.member_id.in_(list(keys)), ChurnSignal.closed_at.is_(None))
        .order_by(ChurnSignal.member_id, ChurnSignal.kind)
    )
    found: dict[UUID, list[ChurnSignal]] = {}
    for row in rows:
        found.setdefault(row.member_id, []).append(row)
    return found


async def count_open_signals(read: Read) -> int:
    """How many signals are open."""
    query = select(func.count()).select_from(ChurnSignal).where(ChurnSignal.closed_at.is_(None))
    return await read.session.scalar(query) or 0


async def open_signals(read: Read, *, first: int) -> list[ChurnSignal]:
    """Open signals, those whose member's use fell most first."""
    rows = await read.session.scalars(
        select(ChurnSignal)
        .where(ChurnSignal.closed_at.is_(None))
        .order_by(ChurnSignal.change, ChurnSignal.member_id, ChurnSignal.kind)
        .limit(first)
    )
    return list(rows)


def _homes(zone: str) -> CTE:
    return (
        select(
            Community.id,
            logins_fall().label("logins_fall"),
            usage_fall().label("usage_fall"),
            least_sessions().label("least"),
        )
        .where(Community.time_zone == zone)
        .cte("homes")
    )


def _figures(windows: tuple[datetime, datetime, datetime]) -> CTE:
    """Sessions, and seconds of whatever members did, in both windows of each member."""
    earlier, middle, end = windows
    session = Activity.kind == ActivityKind.SESSION
    recent = Activity.at >= middle
    return (
        select(
            Activity.member_id,
            func.count().filter(session, Activity.at < middle).label("logins_before"),
            func.count().filter(session, recent).label("logins"),
            _seconds(Activity.at < middle).label("usage_before"),
            _seconds(recent).label("usage"),
        )
        .where(Activity.at >= earlier, Activity.at < end)
        .group_by(Activity.member_id)
        .cte("figures")
    )


def _seconds(when: "ColumnElement[bool]") -> "ColumnElement[int]":
    return func.coalesce(func.sum(Activity.seconds).filter(when), 0)


def _follow(homes: CTE, figures: CTE, end: datetime) -> CTE:
    """Open signals with their newest figures, some of which end them."""
    looked = _looked(homes, figures, end).subquery("looked")
    outcome = case(
        (or_(looked.c.sessions < looked.c.least, looked.c.baseline <= 0), "FADED"),
        (looked.c.recent * 200 > looked.c.baseline * (200 - looked.c.fall), "RECOVERED"),
        else_=null(),
    )
    over = outcome.is_not(None)
    as_of = literal(end, DateTime(timezone=True))
    return (
        update(ChurnSignal)
        .where(
            ChurnSignal.member_id == looked.c.member_id,
            ChurnSignal.kind == looked.c.kind,
            ChurnSignal.opened_at == looked.c.opened_at,
        )
        .values(
            as_of=as_of,
            baseline=case((over, ChurnSignal.baseline), else_=looked.c.baseline),
            recent=case((over, ChurnSignal.recent), else_=looked.c.recent),
            closed_at=case((over, as_of), else_=null()),
            outcome=outcome,
        )
        .returning(ChurnSignal.outcome)
        .cte("moved")
    )


def _looked(homes: CTE, figures: CTE, end: datetime) -> "Select[*tuple[Any, ...]]":
    logins = ChurnSignal.kind == SignalKind.LOGINS
    # Whoever left has no habit any more.
    stays = and_(Member.status != MemberStatus.CLOSED, ~Member.is_test)

    def figure(by_logins: Any, by_usage: Any) -> Any:
        return cast(func.coalesce(case((logins, by_logins), else_=by_usage), 0), BigInteger)

    return (
        select(
            ChurnSignal.member_id,
            ChurnSignal.kind,
            ChurnSignal.opened_at,
            figure(figures.c.logins_before, figures.c.usage_before).label("baseline"),
            figure(figures.c.logins, figures.c.usage).label("recent"),
            case((stays, func.coalesce(figures.c.logins_before, 0)), else_=0).label("sessions"),
            case((logins, homes.c.logins_fall), else_=homes.c.usage_fall).label("fall"),
            homes.c.least,
        )
        .join(Member, Member.id == ChurnSignal.member_id)
        .join(homes, homes.c.id == Member.community_id)
        .outerjoin(figures, figures.c.member_id == ChurnSignal.member_id)
        .where(ChurnSignal.closed_at.is_(None), ChurnSignal.as_of < end)
    )


def _open(homes: CTE, figures: CTE, end: datetime) -> CTE:
    """Signals that begin: of members who have none of the kind, and had none looked at later."""
    fallen = union_all(
        _fallen(
            homes, figures, SignalKind.LOGINS, figures.c.logins_before, figures.c.logins,
            homes.c.logins_fall,
        ),
        _fallen(
            homes, figures, SignalKind.USAGE, figures.c.usage_before, figures.c.usage,
            homes.c.usage_fall,
        ),
    ).subquery("fallen")  # fmt: skip
    known = exists().where(
        ChurnSignal.member_id == fallen.c.member_id,
        ChurnSignal.kind == fallen.c.kind,
        or_(ChurnSignal.closed_at.is_(None), ChurnSignal.as_of >= end),
    )
    as_of = literal(end, DateTime(timezone=True))
    rows = select(
        fallen.c.member_id, fallen.c.kind, as_of, as_of, fallen.c.baseline, fallen.c.recent
    ).where(~known)
    names = ["member_id", "kind", "opened_at", "as_of", "baseline", "recent"]
    return (
        insert(ChurnSignal)
        .from_select(names, rows)
        .on_conflict_do_nothing()
        .returning(ChurnSignal.member_id)
        .cte("opened")
    )


def _fallen(
    homes: CTE, figures: CTE, kind: SignalKind, baseline: Any, recent: Any, fall: Any
) -> "Select[*tuple[Any, ...]]":
    return (
        select(
            Member.id.label("member_id"),
            literal(kind.value).label("kind"),
            baseline.label("baseline"),
            recent.label("recent"),
        )
        .join(figures, figures.c.member_id == Member.id)
        .join(homes, homes.c.id == Member.community_id)
        .where(
            Member.status != MemberStatus.CLOSED,
            Member.is_test.is_distinct_from(true()),
            figures.c.logins_before >= homes.c.least,
            baseline > 0,
            recent * 100 <= baseline * (100 - fall),
        )
    )
