"""Sweeping what is kept for a time only."""

from datetime import datetime, timedelta

from sqlalchemy import text

from app import churn
from app.kernel.db import Database
from app.kernel.live import KEPT
from app.kernel.log import logger
from app.kernel.versions import sweep_changes
from workers.jobs import NIGHTLY, Work, drain, job
from workers.schedule import planned

KEYS_KEPT = timedelta(days=30)
RUNS_KEPT = timedelta(days=60)
# Longer than any of them is remembered (app/kernel/auth/brakes.py).
BRAKES_KEPT = timedelta(days=2)
BATCH = 10_000

log = logger(__name__)

# The newest event stays whatever its age: it is where new subscribers begin.
_LIVE_EVENTS = text(
    """
    WITH gone AS (
        DELETE FROM live_event WHERE seq IN (
            SELECT seq FROM live_event
            WHERE at < :before AND seq < (SELECT max(seq) FROM live_event)
            ORDER BY at LIMIT :batch)
        RETURNING 1
    ) SELECT count(*) FROM gone
    """
)
_IDEMPOTENCY_KEYS = text(
    """
    WITH gone AS (
        DELETE FROM idempotency_key WHERE (owner_id, command, key) IN (
            SELECT owner_id, command, key FROM idempotency_key
            WHERE at < :before ORDER BY at LIMIT :batch)
        RETURNING 1
    ) SELECT count(*) FROM gone
    """
)
_SCHEDULE_RUNS = text(
    """
    WITH gone AS (
        DELETE FROM schedule_run WHERE (name, due_at) IN (
            SELECT name, due_at FROM schedule_run
            WHERE due_at < :before ORDER BY due_at LIMIT :batch)
        RETURNING 1
    ) SELECT count(*) FROM gone
    """
)

_BRAKES = text(
    """
    WITH gone AS (
        DELETE FROM login_brake WHERE name IN (
            SELECT name FROM login_brake WHERE last_at < :before LIMIT :batch)
        RETURNING 1
    ) SELECT count(*) FROM gone
    """
)

_SWEEPS = (
    (_LIVE_EVENTS, KEPT),
    (_IDEMPOTENCY_KEYS, KEYS_KEPT),
    (_SCHEDULE_RUNS, RUNS_KEPT),
    (_BRAKES, BRAKES_KEPT),
)


async def sweep_all(database: Database) -> int:
    """Delete what is past its time, in batches of 10,000 so that no lock is held long."""
    total = 0
    for statement, kept in _SWEEPS:
        while True:
            async with database.begin() as tx:
                given = {"before": tx.now - kept, "batch": BATCH}
                swept = await tx.session.scalar(statement, given) or 0
            total += swept
            if swept < BATCH:
                break
    return total


@job(queue=NIGHTLY)
@planned
async def sweep(work: Work, *, due_at: datetime) -> None:
    """Delete old live events, idempotency keys, schedule runs and brakes on signing in."""
    await sweep_all(work.database)


@job(queue=NIGHTLY)
@planned
async def sweep_versions(work: Work, *, due_at: datetime) -> None:
    """Delete what told changes of members too long ago for anybody to remember the time before."""
    async with work.database.begin() as tx:
        await sweep_changes(tx)


@job(queue=NIGHTLY, time_limit=timedelta(hours=2))
@planned
async def sweep_scores(work: Work, *, due_at: datetime) -> None:
    """Delete churn scores that were in force longer ago than the setting says."""
    kept = timedelta(days=work.settings.score_history_days)
    gone = await drain(work.database, lambda tx: churn.forget_scores(tx, kept=kept))
    log.info("old scores deleted", scores=gone)
