"""Gifts for birthdays and festivals: given to everybody by a nightly job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import orjson
from sqlalchemy import TextClause, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Text, Uuid

from app import coupons, staff, tiers
from app.gifts.calendars import (
    Festival,
    as_json,
    celebrated_on,
    festival_on,
)
from app.gifts.events import OccasionGiven
from app.gifts.queries import festivals, gifts_in_force
from app.gifts.rules import BIRTHDAY, CATCH_UP_DAYS
from app.gifts.tables import GrantOutcome, OccasionGift, OccasionProgress
from app.kernel.clock import business_day, day_start
from app.kernel.db import Tx
from app.kernel.log import logger
from app.members import Community

BATCH = 10_000

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Run:
    """One occasion in the communities of one time zone."""

    occasion: str
    zone: str
    gifts: Sequence[OccasionGift]
    lowest_tier: str


@dataclass(frozen=True, slots=True)
class _Day:
    """What is celebrated on a day: the cycle of a festival, or the birthdays and theirs."""

    cycle: int = 0
    birthdays: str | None = None


async def give_occasions(tx: Tx, *, most: int = BATCH) -> int:
    """Give the next members their gift of a day that has come; 0 once there is nothing to do.

    A day is done for all communities of a time zone once it has begun there; days missed are made
    up for, a month at the most. Where it is killed it goes on, and nobody is given twice.
    """
    by_occasion: dict[str, list[OccasionGift]] = {}
    for gift in await gifts_in_force(tx):
        by_occasion.setdefault(gift.occasion, []).append(gift)
    if not by_occasion:
        return 0
    zones = list(
        await tx.session.scalars(
            select(Community.time_zone).distinct().order_by(Community.time_zone)
        )
    )
    known = {festival.code: festival for festival in await festivals(tx)}
    ranks = await tiers.all_tiers(tx)
    lowest = ranks[0].code if ranks else ""
    for occasion, gifts in sorted(by_occasion.items()):
        if occasion != BIRTHDAY and occasion not in known:
            continue
        for zone in zones:
            run = _Run(occasion, zone, gifts, lowest)
            moved = await _advance(tx, run, known.get(occasion), most)
            if moved:
                return moved
    return 0


async def _advance(tx: Tx, run: _Run, festival: Festival | None, most: int) -> int:
    """Do one batch of a run's next day; 0 if there is none, or another does it just now."""
    progress = await _locked_progress(tx, run)
    if progress is None:
        return 0
    today = business_day(tx.now, run.zone)
    progress.through, progress.position = _caught_up(progress, today)
    while progress.through < today:
        day = progress.through + timedelta(days=1)
        occasion = _celebrated(festival, day)
        if occasion is not None:
            last = await _give(tx, run, day, occasion, progress.position, most)
            if last is not None:
                progress.position = last
                await tx.session.flush()
                return most
        progress.through, progress.position = day, None
    await tx.session.flush()
    return 0


def _caught_up(progress: OccasionProgress, today: date) -> tuple[date, UUID | None]:
    oldest = today - timedelta(days=CATCH_UP_DAYS)
    if progress.through < oldest:
        return oldest, None
    return progress.through, progress.position


def _celebrated(festival: Festival | None, day: date) -> _Day | None:
    if festival is None:
        keys = [
            {**{k: v for k, v in as_json(born).items() if v is not None}, "cycle": cycle}
            for born, cycle in celebrated_on(day)
        ]
        return _Day(birthdays=orjson.dumps(keys).decode())
    cycle = festival_on(festival, day)
    return None if cycle is None else _Day(cycle=cycle)


async def _locked_progress(tx: Tx, run: _Run) -> OccasionProgress | None:
    # The day before the gift was planned is done: what it is for begins with its own day.
    began = business_day(min(gift.created_at for gift in run.gifts), run.zone)
    eve = began - timedelta(days=1)
    await tx.session.execute(
        insert(OccasionProgress)
        .values(occasion=run.occasion, zone=run.zone, through=eve)
        .on_conflict_do_nothing()
    )
    found = await tx.session.scalar(
        select(OccasionProgress)
        .where(OccasionProgress.occasion == run.occasion, OccasionProgress.zone == run.zone)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if found is not None and found.through < eve:
        # Nothing was planned in between.
        found.through, found.position = eve, None
    return found


# Who is next in the order of members. Whoever joined, or told a birthday, on the day itself comes
# too late for it, so that the hour at which the job runs changes nothing. The last row has the last
# of those who were looked at and how many they were: joined with those who are given something,
# which the planner takes for one, each would be compared with each.
_NEXT = """
    WITH next AS (
        SELECT m.id AS member_id, coalesce(s.tier_code, :lowest) AS tier, {cycle} AS cycle
        FROM member m
        JOIN community c ON c.id = m.community_id AND c.time_zone = :zone
        LEFT JOIN tier_standing s ON s.member_id = m.id
        {born}
        WHERE m.status = 'ACTIVE' AND m.registered_at < :begins
          AND (CAST(:position AS uuid) IS NULL OR m.id > :position)
          {told}
        ORDER BY m.id LIMIT :most
    ), chosen AS (
        SELECT DISTINCT ON (next.member_id) next.member_id, next.cycle, g.id AS gift_id
        FROM next JOIN occasion_gift g
          ON g.id = ANY(:gifts) AND (g.tier_code IS NULL OR g.tier_code = next.tier)
        ORDER BY next.member_id, g.tier_code NULLS LAST
    ), given AS (
        INSERT INTO occasion_grant (member_id, occasion, cycle, gift_id, outcome, granted_at)
        SELECT member_id, :occasion, cycle, gift_id, 'PENDING', :now FROM chosen
        ORDER BY member_id
        ON CONFLICT DO NOTHING
        RETURNING member_id, gift_id, cycle
    )
    SELECT member_id, gift_id, cycle, NULL AS looked_at FROM given
    UNION ALL
    SELECT (array_agg(member_id ORDER BY member_id DESC))[1], NULL, NULL, count(*) FROM next
"""
# The birthday that is in force in the cycle of each of those that are celebrated.
_BORN = """
        LEFT JOIN birthday_change b ON b.member_id = m.id
        JOIN jsonb_to_recordset(CAST(:birthdays AS jsonb)) AS k(
            calendar text, month int, day int, leap_month boolean, feb29 text, cycle bigint)
          ON (CASE WHEN k.cycle < b.from_cycle THEN b.before ELSE m.birthday END)
             @> jsonb_build_object('calendar', k.calendar, 'month', k.month, 'day', k.day)
         AND coalesce(
             (CASE WHEN k.cycle < b.from_cycle THEN b.before ELSE m.birthday END
                 ->> 'leap_month')::boolean, false) = k.leap_month
         AND (k.feb29 IS NULL OR k.feb29 = coalesce(
             CASE WHEN k.cycle < b.from_cycle THEN b.before ELSE m.birthday END
                 ->> 'feb29', 'FEB28'))
"""
_TOLD = """
          AND m.birthday IS NOT NULL
          AND coalesce((m.birthday ->> 'told_on')::date, DATE '-infinity') < :day
"""


def _statement(sql: str) -> TextClause:
    return text(sql).bindparams(bindparam("gifts", type_=ARRAY(Uuid())))


_NEXT_OF_FESTIVAL = _statement(_NEXT.format(cycle="CAST(:cycle AS bigint)", born="", told=""))
_NEXT_OF_BIRTHDAY = _statement(_NEXT.format(cycle="k.cycle", born=_BORN, told=_TOLD))
_SETTLE = text(
    """
    UPDATE occasion_grant g SET outcome = d.outcome, coupon_id = d.coupon_id
    FROM unnest(:members, :outcomes, :coupons) AS d(member_id, outcome, coupon_id)
    WHERE g.member_id = d.member_id AND g.occasion = :occasion AND g.outcome = 'PENDING'
    """
).bindparams(
    bindparam("members", type_=ARRAY(Uuid())),
    bindparam("outcomes", type_=ARRAY(Text())),
    bindparam("coupons", type_=ARRAY(Uuid())),
)


async def _give(
    tx: Tx, run: _Run, day: date, celebrated: _Day, position: UUID | None, most: int
) -> UUID | None:
    """Give one batch; answers the last member of it, None once the day is done."""
    given = {
        "zone": run.zone,
        "begins": day_start(day, run.zone),
        "position": position,
        "most": most,
        "lowest": run.lowest_tier,
        "gifts": [gift.id for gift in run.gifts],
        "occasion": run.occasion,
        "now": tx.now,
    }
    if celebrated.birthdays is None:
        given["cycle"] = celebrated.cycle
        rows = (await tx.session.execute(_NEXT_OF_FESTIVAL, given)).all()
    else:
        given |= {"birthdays": celebrated.birthdays, "day": day}
        rows = (await tx.session.execute(_NEXT_OF_BIRTHDAY, given)).all()
    last = rows[-1]
    by_gift: dict[UUID, dict[UUID, int]] = {}
    # Coupons are handed out in the order of members, as far as they reach.
    for member_id, gift_id, cycle, _ in sorted(rows[:-1], key=lambda row: row[0].int):
        by_gift.setdefault(gift_id, {})[member_id] = cycle
    batches = {gift.id: gift.batch_id for gift in run.gifts}
    # Batches are locked in the order of their keys by every command.
    for gift_id in sorted(by_gift, key=lambda key: (batches[key], key)):
        await _grant(tx, run, batches[gift_id], gift_id, by_gift[gift_id])
    return last.member_id if last.looked_at == most else None


async def _grant(tx: Tx, run: _Run, batch_id: UUID, gift_id: UUID, cycles: dict[UUID, int]) -> None:
    """Give the members of one gift their coupons and settle what came of it for each."""
    occasion, why = run.occasion, coupons.BatchUsedUp.code
    try:
        grants = await coupons.grant(
            tx,
            batch_id=batch_id,
            member_ids=list(cycles),
            source=coupons.Source.GIFT,
            source_id=gift_id,
        )
    except (coupons.BatchNotActive, coupons.ValidityOver) as refusal:
        why = refusal.code
        grants = coupons.Grants()
    outcomes = {member_id: _outcome(grants, member_id) for member_id in cycles}
    await tx.session.execute(
        _SETTLE,
        {
            "members": list(cycles),
            "outcomes": [outcome.value for outcome in outcomes.values()],
            "coupons": [grants.granted.get(member_id) for member_id in cycles],
            "occasion": occasion,
        },
    )
    short = sum(outcome is GrantOutcome.NO_STOCK for outcome in outcomes.values())
    if short:
        log.warning("an occasion's coupons were not given", occasion=occasion, members=short)
        await _tell_staff(tx, run, batch_id, why, short)
    for member_id, coupon_id in grants.granted.items():
        tx.emit(
            OccasionGiven(
                member_id=member_id,
                occasion=occasion,
                cycle=cycles[member_id],
                coupon_id=coupon_id,
            )
        )


async def _tell_staff(tx: Tx, run: _Run, batch_id: UUID, why: str, members: int) -> None:
    """That members go without; once an occasion, batch and day, of the first who did."""
    facts = {
        "occasion": run.occasion,
        "zone": run.zone,
        "batchId": str(batch_id),
        "why": why,
        "membersSoFar": members,
    }
    notice = staff.Notice("occasion.short", f"{run.occasion}: {batch_id}", facts)
    await staff.notify(tx, [notice], day=business_day(tx.now, run.zone))


def _outcome(grants: coupons.Grants, member_id: UUID) -> GrantOutcome:
    if member_id in grants.granted:
        return GrantOutcome.GRANTED
    return GrantOutcome.AT_LIMIT if member_id in grants.at_limit else GrantOutcome.NO_STOCK
