"""Running the segments: every member's stage as of an instant, put in force all at once."""

from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Executable,
    Text,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from app import members
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.sets import emit_each, lock_name, planned_for_sets, uuid7_each
from app.segments import silences
from app.segments.events import SegmentsSwapped, StageChanged
from app.segments.facts import FACTS, gather
from app.segments.judging import COMPARED, JUDGED, draw, judge
from app.segments.queries import current_run
from app.segments.rules import CutPoints, alarms
from app.segments.stages import Stage, StageReason
from app.segments.tables import MemberStage, SegmentRun, StageTransition

LOCK = "segments run"
# What campaigns and alerts act on, told one by one; the other changes are read in the history.
TOLD = (Stage.VIP, Stage.SILENT, Stage.LAPSED_HIGH_VALUE, Stage.CHURNED)


async def run(tx: Tx, *, as_of: datetime) -> SegmentRun:
    """Judge every member as of an instant and put the stages in force with this transaction.

    Running the same instant again changes only what has changed in the orders since. An instant
    older than the stages in force is computed and recorded, but changes no member. Two runs at
    once follow one another. The first run announces no single member. Raises InvalidInput for an
    instant in the future.
    """
    if as_of > tx.now:
        raise InvalidInput(field="asOf", reason="it is in the future", reason_zh="时间尚未到来")
    await lock_name(tx, LOCK)
    async with planned_for_sets(tx, whole_tables=True):
        before = await current_run(tx)
        await tx.session.execute(text("SET LOCAL enable_sort = off"))
        await gather(tx, as_of)
        await tx.session.execute(text(f"ANALYZE {FACTS.name}"))
        cuts = await draw(tx)
        await judge(tx, as_of, cuts)
        await tx.session.execute(
            text(f"ANALYZE {JUDGED.name} (member_id, known, differs, same_orders)")
        )
        applied = before is None or before.as_of <= as_of
        changed = await _swap(tx, as_of, first=before is None) if applied else 0
        stored = await _record(tx, as_of, cuts, applied=applied, changed=changed)
        for table in (FACTS, JUDGED):
            # A caller may run several instants in one transaction.
            await tx.session.execute(text(f"DROP TABLE {table.name}"))
    if applied:
        tx.emit(SegmentsSwapped(as_of=as_of, members=stored.members, changed=changed))
    return stored


async def _swap(tx: Tx, as_of: datetime, *, first: bool) -> int:
    await silences.compare(tx, as_of)
    await silences.store(tx)
    await tx.session.execute(text(f"DROP TABLE {silences.DIFFERENT.name}"))
    if not first:
        await _announce(tx, as_of)
    changed = await _write_history(tx, as_of)
    await _put_in_force(tx, as_of)
    return changed


async def _announce(tx: Tx, as_of: datetime) -> None:
    """Tell each entry into a stage that others act on; the fact is StageChanged's."""
    vip = JUDGED.c.stage == Stage.VIP
    topics = case(
        (vip, array([members.member_topic_in_sql(JUDGED.c.member_id)])),
        else_=cast(array([], type_=Text), ARRAY(Text)),
    )
    payload = func.jsonb_build_object(
        literal("member_id"),
        cast(JUDGED.c.member_id, Text),
        literal("before"),
        JUDGED.c.before,
        literal("stage"),
        JUDGED.c.stage,
        literal("as_of"),
        literal(as_of.isoformat()),
    )
    entered = select(topics, payload).where(JUDGED.c.stage.in_(TOLD), _moved())
    await emit_each(tx, kind=StageChanged.kind, source=entered)


async def _write_history(tx: Tx, as_of: datetime) -> int:
    """One transition for each member whose stage changes; answers how many.

    The rows of those who left go in the same statement, which has to find them anyway.
    """
    id_ = uuid7_each(tx.now)
    judged = select(JUDGED.c.member_id).where(JUDGED.c.member_id == MemberStage.member_id)
    gone = (
        delete(MemberStage)
        .where(~judged.exists())
        .returning(MemberStage.member_id, MemberStage.stage)
        .cte("gone")
    )
    left = select(
        gone.c.member_id,
        id_,
        gone.c.stage,
        cast(null(), Text),
        literal(as_of),
        literal(StageReason.MEMBER_LEFT.value, Text),
    )
    arrived = (
        select(JUDGED.c.member_id, id_, JUDGED.c.before, JUDGED.c.stage, literal(as_of))
        .add_columns(JUDGED.c.reason)
        .where(_moved())
        # Neighbours in the index are written together.
        .order_by(JUDGED.c.member_id)
    )
    names = ["member_id", "id", "from_stage", "to_stage", "at", "reason"]
    total = 0
    for chosen in (arrived, left):
        total += await _count(tx, insert(StageTransition).from_select(names, chosen))
    return total


async def _put_in_force(tx: Tx, as_of: datetime) -> None:
    columns = {name: JUDGED.c[name] for name in COMPARED}
    since = case((JUDGED.c.stage == MemberStage.stage, MemberStage.since), else_=literal(as_of))
    await _count(
        tx,
        update(MemberStage)
        .where(JUDGED.c.member_id == MemberStage.member_id, JUDGED.c.known, JUDGED.c.differs)
        .values({**columns, "since": since, "as_of": literal(as_of)}),
    )
    now = [literal(as_of), literal(as_of)]
    fresh = select(JUDGED.c.member_id, *columns.values(), *now).where(~JUDGED.c.known)
    names = ["member_id", *COMPARED, "since", "as_of"]
    in_order = fresh.order_by(JUDGED.c.member_id)
    await _count(tx, insert(MemberStage).from_select(names, in_order))


async def _record(
    tx: Tx, as_of: datetime, cuts: CutPoints, *, applied: bool, changed: int
) -> SegmentRun:
    rows = await tx.session.execute(
        select(JUDGED.c.stage, func.count(), func.sum(JUDGED.c.net90)).group_by(JUDGED.c.stage)
    )
    counts = dict.fromkeys(Stage, 0)
    spend = dict.fromkeys(Stage, 0)
    for stage, number, net90 in rows:
        counts[stage], spend[stage] = number, int(net90)
    vip_net90, total_net90 = spend[Stage.VIP], sum(spend.values())
    found = alarms(counts, vip_net90=vip_net90, total_net90=total_net90)
    run = await tx.session.get(SegmentRun, as_of)
    if run is None:
        newest = await tx.session.scalar(select(func.max(SegmentRun.version)))
        run = SegmentRun(as_of=as_of, version=(newest or 0) + 1, applied=applied)
        tx.session.add(run)
    run.ran_at = tx.now
    # A run that was in force stays so in the books when it is replayed later.
    run.applied = run.applied or applied
    run.members = sum(counts.values())
    run.changed = changed
    run.counts = {stage.value: number for stage, number in counts.items()}
    run.cut_points = cuts.stored()
    run.vip_net90, run.total_net90 = vip_net90, total_net90
    run.alarms = [alarm.value for alarm in found]
    await tx.session.flush()
    return run


def _moved() -> ColumnElement[bool]:
    return JUDGED.c.stage.is_distinct_from(JUDGED.c.before)


async def _count(tx: Tx, statement: Executable) -> int:
    result = await tx.session.execute(statement, execution_options={"synchronize_session": False})
    return result.rowcount if isinstance(result, CursorResult) else 0
