"""Staff ask for a monthly run; a worker takes it to its end, batch by batch."""

from datetime import date

from app.kernel.clock import DEFAULT_ZONE
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.tiers.errors import RunAlreadyPublished, RunNotDue, RunNotPreviewed, TiersMissing
from app.tiers.events import TierRunAsked
from app.tiers.queries import all_tiers, zones
from app.tiers.rules import following_month, run_month
from app.tiers.running import begin_run, restart_preview
from app.tiers.tables import RunState, TierRun


async def ask_preview(tx: Tx, *, month: date, zone: str = DEFAULT_ZONE) -> TierRun:
    """Have a month's run of a zone calculated, anew if it has been; nobody moves.

    A preview under way is left to go on. Raises TiersMissing, RunAlreadyPublished, InvalidInput for
    another month than the zone's present and next, and for a zone without neighbourhoods.
    """
    if not await all_tiers(tx):
        raise TiersMissing()
    present = run_month(tx.now, zone)
    if month not in (present, following_month(present)):
        raise InvalidInput(
            field="month", reason="the present or the next one", reason_zh="仅限本月或下月"
        )
    if zone not in await zones(tx):
        raise InvalidInput(
            field="zone", reason="no neighbourhood is there", reason_zh="没有该时区的小区"
        )
    run = await begin_run(tx, month, zone)
    if run.state in (RunState.PUBLISHING, RunState.PUBLISHED):
        raise RunAlreadyPublished(month=f"{month:%Y-%m}")
    if run.state is RunState.PREVIEWED:
        await restart_preview(tx, month=month, zone=zone)
    tx.emit(TierRunAsked(month=month.isoformat(), publish=False, zone=zone))
    return run


async def ask_publication(tx: Tx, *, month: date, zone: str = DEFAULT_ZONE) -> TierRun:
    """Have a previewed run published; asked again it changes nothing more.

    Raises RunNotDue before the month begins, RunNotPreviewed without a preview of the month itself.
    """
    run = await tx.session.get(TierRun, (month, zone), with_for_update=True)
    if run is None or run.state is RunState.PREVIEWING:
        raise RunNotPreviewed(month=f"{month:%Y-%m}")
    if run.state is RunState.PREVIEWED:
        if tx.now < run.cutoff:
            raise RunNotDue(month=f"{month:%Y-%m}")
        if run.previewed_at is None or run.previewed_at < run.cutoff:
            raise RunNotPreviewed(month=f"{month:%Y-%m}")
        run.state = RunState.PUBLISHING
        await tx.session.flush()
        tx.emit(TierRunAsked(month=month.isoformat(), publish=True, zone=zone))
    return run
