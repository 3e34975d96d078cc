"""The monthly run: previewed, then published, batch by batch, and resumed by going on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    case,
    cast,
    delete,
    func,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import array, insert

from app.kernel.clock import DEFAULT_ZONE
from app.kernel.db import Tx
from app.kernel.sets import emit_each, planned_for_sets
from app.members import Member
from app.tiers.errors import RunAlreadyPublished, RunNotDue, TiersMissing
from app.tiers.events import TierAtRisk, TierChanged
from app.tiers.queries import all_tiers
from app.tiers.rules import GRACE, PROTECTED, cutoff_of
from app.tiers.tables import MoveKind, RunState, TierMove, TierRun
from app.tiers.verdicts import Range, lives_in, write_verdicts

# Large enough that PostgreSQL reads the orders in one pass instead of member by member; what it
# cannot hold in memory while adding up it keeps on disk.
PREVIEW_BATCH = 1_000_000
PUBLISH_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: `done` of `members` in its present state; `finished` when asked no more."""

    month: date
    state: RunState
    done: int
    members: int
    finished: bool


async def restart_preview(tx: Tx, *, month: date, zone: str = DEFAULT_ZONE) -> None:
    """Forget a month's preview, so that it is calculated anew. Raises RunAlreadyPublished."""
    run = await tx.session.get(TierRun, (month, zone), with_for_update=True)
    if run is None:
        return
    if run.state in (RunState.PUBLISHING, RunState.PUBLISHED):
        raise RunAlreadyPublished(month=f"{month:%Y-%m}")
    await tx.session.execute(delete(TierMove).where(TierMove.month == month, TierMove.zone == zone))
    run.state, run.position, run.members = RunState.PREVIEWING, None, 0
    run.previewed_at = None
    await tx.session.flush()


async def advance(
    tx: Tx,
    *,
    month: date,
    preview_only: bool = False,
    preview_batch: int = PREVIEW_BATCH,
    publish_batch: int = PUBLISH_BATCH,
    zone: str = DEFAULT_ZONE,
) -> Progress:
    """Do the next batch of a zone's run in this transaction; call it again until it is finished.

    Whoever calls it next goes on where the last committed batch ended, so that a killed run is
    resumed by running it again, and no member is changed twice. What is published is what was
    previewed, unless the preview was made before the month began: then it is made anew. Raises
    TiersMissing, and RunNotDue for publishing a month that has not begun.
    """
    run = await begin_run(tx, month, zone)
    if not preview_only and run.state is RunState.PREVIEWED:
        if tx.now < run.cutoff:
            raise RunNotDue(month=f"{month:%Y-%m}")
        if run.previewed_at is not None and run.previewed_at < run.cutoff:
            await restart_preview(tx, month=month, zone=zone)
        else:
            run.state = RunState.PUBLISHING
    done = 0
    async with planned_for_sets(tx):
        if run.state is RunState.PREVIEWING:
            done = await _preview(tx, run, preview_batch)
        elif run.state is RunState.PUBLISHING:
            done = await _publish(tx, run, publish_batch)
    await tx.session.flush()
    ends = {RunState.PUBLISHED, RunState.PREVIEWED} if preview_only else {RunState.PUBLISHED}
    return Progress(month, run.state, done, run.members, run.state in ends)


async def begin_run(tx: Tx, month: date, zone: str = DEFAULT_ZONE) -> TierRun:
    """A month's run of a zone, begun where it has not been, and locked."""
    await tx.session.execute(
        insert(TierRun)
        .values(
            month=month,
            zone=zone,
            state=RunState.PREVIEWING,
            cutoff=cutoff_of(month, zone),
            started_at=tx.now,
        )
        .on_conflict_do_nothing()
    )
    key = (month, zone)
    return await tx.session.get_one(TierRun, key, with_for_update=True, populate_existing=True)


async def _preview(tx: Tx, run: TierRun, batch: int) -> int:
    tiers = await all_tiers(tx)
    if not tiers:
        raise TiersMissing()
    ids = select(Member.id).where(lives_in(run.zone)).order_by(Member.id).limit(batch)
    if run.position is not None:
        ids = ids.where(Member.id > run.position)
    chosen = ids.subquery()
    upto, count = (
        await tx.session.execute(
            # PostgreSQL before 18 has no max(uuid).
            select(func.array_agg(chosen.c.id)[func.count()], func.count()).select_from(chosen)
        )
    ).one()
    if upto is None:
        run.state, run.position, run.previewed_at = RunState.PREVIEWED, None, tx.now
        return 0
    await tx.session.execute(write_verdicts(run, tiers, Range(run.position, upto)))
    run.position = upto
    run.members += count
    return count


_PUBLISH = text("""
WITH chosen AS MATERIALIZED (
    SELECT v.* FROM tier_move v
    WHERE v.month = CAST(:month AS date) AND v.zone = :zone AND v.applied IS NULL
      AND (CAST(:after AS uuid) IS NULL OR v.member_id > CAST(:after AS uuid))
    ORDER BY v.member_id LIMIT CAST(:batch AS bigint)
), standing AS MATERIALIZED (
    SELECT s.member_id FROM tier_standing s JOIN chosen c ON c.member_id = s.member_id
    WHERE s.tier_code = c.from_code
      AND (s.override_until IS NULL OR s.override_until <= CAST(:cutoff AS timestamptz))
      AND CASE c.kind
        WHEN 'UPGRADE' THEN true
        WHEN 'RECOVER' THEN s.state <> 'STEADY'
        WHEN 'AT_RISK' THEN s.state = 'STEADY'
        WHEN 'GRACE' THEN s.state = 'AT_RISK'
        ELSE s.state = 'GRACE' END
      AND (c.kind IN ('UPGRADE', 'RECOVER') OR s.last_upgrade_at IS NULL
        OR s.last_upgrade_at <= CAST(:protected AS timestamptz))
    ORDER BY s.member_id FOR UPDATE OF s
), changed AS (
    UPDATE tier_standing s SET
        tier_code = c.to_code,
        since = CASE WHEN c.to_code <> c.from_code THEN CAST(:cutoff AS timestamptz)
            ELSE s.since END,
        last_upgrade_at = CASE WHEN c.kind = 'UPGRADE' THEN CAST(:cutoff AS timestamptz)
            ELSE s.last_upgrade_at END,
        state = CASE WHEN c.kind IN ('AT_RISK', 'GRACE') THEN c.kind ELSE 'STEADY' END,
        at_risk_since = CASE c.kind WHEN 'AT_RISK' THEN CAST(:cutoff AS timestamptz)
            WHEN 'GRACE' THEN s.at_risk_since END,
        grace_until = CASE WHEN c.kind = 'GRACE' THEN CAST(:grace AS timestamptz) END
    FROM chosen c JOIN standing ON standing.member_id = c.member_id
    WHERE s.member_id = c.member_id
    RETURNING s.member_id
), history AS (
    INSERT INTO tier_change (member_id, from_code, to_code, reason, growth, month, at)
    SELECT c.member_id, c.from_code, c.to_code, 'MONTHLY_' || c.kind, c.growth, c.month,
        CAST(:cutoff AS timestamptz)
    FROM chosen c JOIN changed ON changed.member_id = c.member_id
    WHERE c.to_code <> c.from_code
), marked AS (
    UPDATE tier_move v SET applied = c.applies
    FROM (
        -- Joined, not asked for row by row: an EXISTS here would read all of `changed` each time.
        SELECT chosen.member_id, chosen.month, changed.member_id IS NOT NULL AS applies
        FROM chosen LEFT JOIN changed ON changed.member_id = chosen.member_id
    ) c WHERE v.member_id = c.member_id AND v.month = c.month
    RETURNING v.member_id
)
SELECT (array_agg(member_id ORDER BY member_id DESC))[1], count(*) FROM marked
""")


async def _publish(tx: Tx, run: TierRun, batch: int) -> int:
    given = {
        "month": run.month,
        "zone": run.zone,
        "batch": batch,
        # What lies before is published: not to be read again by each batch.
        "after": run.position,
        "cutoff": run.cutoff,
        "grace": run.cutoff + GRACE,
        "protected": run.cutoff - PROTECTED,
    }
    upto, count = (await tx.session.execute(_PUBLISH, given)).one()
    if not count:
        run.state, run.position, run.published_at = RunState.PUBLISHED, None, tx.now
        return 0
    within = Range(run.position, upto)
    await emit_each(tx, kind=TierChanged.kind, source=_changed_facts(run, within))
    await emit_each(tx, kind=TierAtRisk.kind, source=_at_risk_facts(run, within))
    run.position = upto
    return count


def _changed_facts(run: TierRun, within: Range) -> "Select[Any, Any]":
    return _facts(
        run,
        within,
        (MoveKind.UPGRADE, MoveKind.DOWNGRADE),
        {
            "from_code": TierMove.from_code,
            "to_code": TierMove.to_code,
            "reason": func.concat("MONTHLY_", cast(TierMove.kind, Text)),
        },
    )


def _at_risk_facts(run: TierRun, within: Range) -> "Select[Any, Any]":
    ends = (run.cutoff + GRACE).isoformat()
    return _facts(
        run,
        within,
        (MoveKind.AT_RISK, MoveKind.GRACE),
        {
            "tier_code": TierMove.from_code,
            "state": cast(TierMove.kind, Text),
            "needed": TierMove.threshold,
            "grace_until": case((TierMove.kind == MoveKind.GRACE, literal(ends)), else_=null()),
        },
    )


def _facts(
    run: TierRun, within: Range, kinds: tuple[MoveKind, ...], extra: Mapping[str, object]
) -> "Select[Any, Any]":
    pairs: list[object] = ["member_id", cast(TierMove.member_id, Text), "growth", TierMove.growth]
    for name, value in extra.items():
        pairs += [name, value]
    topic = literal("member:").op("||")(cast(TierMove.member_id, Text))
    return select(array([topic]), func.jsonb_build_object(*pairs)).where(
        TierMove.month == run.month,
        TierMove.zone == run.zone,
        within.holds(TierMove.member_id),
        TierMove.applied.is_(True),
        TierMove.kind.in_(kinds),
    )
