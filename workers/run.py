"""The processes: a worker (jobs and relay) and a scheduler. SIGTERM lets both end cleanly."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Mapping, Sequence

from dramatiq import Worker

from app.kernel.config import Settings
from app.kernel.db import Database
from app.kernel.garbage import collect_rarely
from app.kernel.live import WAKE_CHANNEL
from app.kernel.log import configure_logs, logger
from app.kernel.news import News
from app.kernel.redis import AWAY, close, connect
from workers.broker import Sender, make_broker
from workers.consuming import AGAIN_SECONDS, SureBroker
from workers.jobs import Job, Work
from workers.reactions import Reactions
from workers.relay import Relay
from workers.roster import JOBS, PLANS, REACTIONS, TICKS
from workers.schedule import Plan, Scheduler, Tick

# How long an idle consumer sleeps at the most, and so what a job may wait in an idle house.
POLL_MS = 200
LAST_JOB_MS = 60_000

log = logger(__name__)


class MissingAddress(Exception):
    """Neither the environment nor the starter said where a store is."""


def addresses(settings: Settings) -> tuple[str, str]:
    """The database's and Redis's addresses.

    Raises MissingAddress.
    """
    if not settings.database_url:
        raise MissingAddress("LINLI_DATABASE_URL is not set")
    if not settings.redis_url:
        raise MissingAddress("LINLI_REDIS_URL is not set")
    return settings.database_url, settings.redis_url


def open_database(settings: Settings, *, pool_size: int) -> Database:
    """The database of a worker process, whose commits wake the relays."""
    url, redis_url = addresses(settings)
    database = Database(
        url,
        read_url=settings.read_database_url,
        pool_size=pool_size,
        pgbouncer=settings.pgbouncer,
    )
    database.after_emit = News(connect(redis_url), WAKE_CHANNEL)
    return database


def run_worker(
    settings: Settings,
    *,
    jobs: Mapping[str, Job] = JOBS,
    reactions: Reactions = REACTIONS,
) -> None:
    """Do jobs and relay facts until SIGTERM or SIGINT, then finish the jobs in hand and return.

    Call it in the main thread. Raises MissingAddress.
    """
    configure_logs(settings)
    redis_url = addresses(settings)[1]
    stop, failed = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    work = Work(open_database(settings, pool_size=settings.worker_threads + 1), settings)
    collect_rarely()
    relay = threading.Thread(target=_relay, args=(settings, reactions, stop, failed), name="relay")
    relay.start()
    broker = _broker(redis_url, work, jobs, stop)
    if broker is not None:
        threads = settings.worker_threads
        worker = Worker(broker, worker_timeout=POLL_MS, worker_threads=threads)
        worker.start()
        log.info("worker ready", threads=threads, jobs=len(jobs))
        stop.wait()
        log.info("worker stopping")
        worker.stop(timeout=LAST_JOB_MS)
    relay.join()
    if failed.is_set():
        raise SystemExit(1)
    log.info("worker stopped")


def _broker(
    redis_url: str, work: Work, jobs: Mapping[str, Job], stop: threading.Event
) -> SureBroker | None:
    """The broker; a cluster has to answer first. None when we are told to stop meanwhile."""
    waits = False
    while not stop.is_set():
        try:
            return make_broker(redis_url, work, jobs)
        except AWAY as error:
            if not waits:
                log.warning("worker waits for redis", error=f"{type(error).__name__}: {error}")
            waits = True
            stop.wait(AGAIN_SECONDS)
    return None


def _relay(
    settings: Settings, reactions: Reactions, stop: threading.Event, failed: threading.Event
) -> None:
    try:
        asyncio.run(_relay_until(settings, reactions, stop))
    except Exception:
        # A worker without its relay would look healthy while facts pile up: end it instead.
        log.exception("relay failed")
        failed.set()
        stop.set()


async def _relay_until(settings: Settings, reactions: Reactions, stop: threading.Event) -> None:
    redis_url = addresses(settings)[1]
    database = open_database(settings, pool_size=2)
    redis = connect(redis_url)
    sender = Sender(redis_url)
    task = asyncio.create_task(Relay(database, redis, sender.send, reactions).run())
    stopping = asyncio.create_task(asyncio.to_thread(stop.wait))
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        stop.set()  # lets the waiting thread go
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        sender.close()
        await close(redis)
        await database.close()


def run_scheduler(
    settings: Settings, *, plans: Sequence[Plan] = PLANS, ticks: Sequence[Tick] = TICKS
) -> None:
    """Claim what falls due until SIGTERM or SIGINT.

    Call it in the main thread. Raises MissingAddress.
    """
    configure_logs(settings)
    asyncio.run(_schedule(settings, plans, ticks))


async def _schedule(settings: Settings, plans: Sequence[Plan], ticks: Sequence[Tick]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    database = open_database(settings, pool_size=1)
    log.info("scheduler ready", plans=len(plans))
    try:
        await Scheduler(database, plans=plans, ticks=ticks, zone=settings.time_zone).run(stop)
    finally:
        await database.close()
    log.info("scheduler stopped")
