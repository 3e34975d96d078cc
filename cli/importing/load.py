"""One import from the first row to the last: read, check, stage, merge, match."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Final

import numpy as np
import orjson
import pyarrow.csv as pa_csv
from sqlalchemy import text

from app import members, orders
from app.kernel.crypto import Vault
from app.kernel.db import Database, Tx
from app.orders import ImportKind, ImportPhase, ImportRun
from cli.importing.arrow import ArrowTable
from cli.importing.checks import Checked, Rules, check, events_table, lines_table
from cli.importing.files import RowFile
from cli.importing.reasons import PROBLEMS, ImportFailed
from cli.importing.rejects import RejectsFile

_TABLES: Final = {ImportKind.ORDERS: lines_table, ImportKind.EVENTS: events_table}


@dataclass(frozen=True, slots=True)
class Job:
    """What to import, and how."""

    kind: ImportKind
    file: RowFile
    rules: Rules
    source: str
    # The community of new members, unless a column names it.
    community: str
    rejects: RejectsFile

    def fingerprint(self) -> str:
        """A digest of the file and of everything that changes what it means."""
        reading = self.rules.reading
        meaning = {
            "file": self.file.digest(),
            "kind": self.kind,
            "places": dict(self.rules.places),
            "preset": self.rules.preset.name,
            "fen": self.rules.fen_per_unit,
            "encoding": reading.encoding,
            "zone": reading.zone.key,
            "formats": reading.date_formats,
            "community": self.community,
        }
        return sha256(orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(slots=True)
class Summary:
    """What an import did; rows are those of the whole file, the stored ones those of this run."""

    rows: int = 0
    kept: int = 0
    rejected: int = 0
    resumed_from: int = 0
    members: int = 0
    orders: int = 0
    lines: int = 0
    refunds: int = 0
    refunds_matched: int = 0
    events: int = 0
    reading_seconds: float = 0.0
    loading_seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter[str])

    def rate(self) -> float:
        """Kept rows a second into the database, all that comes after reading counted."""
        return self.kept / self.loading_seconds if self.loading_seconds else 0.0


Report = Callable[[str, int, int | None], None]
"""Told the stage, how much of it is done, and of how much if known."""


async def run_import(database: Database, vault: Vault, job: Job, report: Report) -> Summary:
    """Import a file, or go on where an interrupted import of it was.

    Good rows are stored exactly once however often this is repeated. Raises ImportUnderWay, and
    ImportFailed when the file holds no row.
    """
    summary = Summary()
    async with orders.importing.only_import_of(database, job.source):
        report("fingerprint", 0, None)
        fingerprint = await asyncio.to_thread(job.fingerprint)
        run = await _open(database, job, fingerprint)
        summary.resumed_from = run.rows_read
        if run.phase is ImportPhase.STAGING:
            await _stage(database, vault, job, run, summary, report)
        begun = time.perf_counter()
        await _merge(database, job, run, summary, report)
        await _finish(database, job, run, summary, report)
        summary.loading_seconds += time.perf_counter() - begun
    summary.rows, summary.rejected = run.rows_read, run.rows_rejected
    summary.kept = run.rows_staged
    return summary


async def _open(database: Database, job: Job, fingerprint: str) -> ImportRun:
    async with database.begin() as tx:
        run = await orders.importing.open_run(
            tx,
            kind=job.kind,
            source=job.source,
            fingerprint=fingerprint,
            file_name=job.file.path.name,
            rejects_path=str(job.rejects.path.resolve()),
            rejects_there=job.rejects.size(),
        )
    job.rejects.start(run.rejects_bytes)
    return run


@dataclass(frozen=True, slots=True)
class _Ready:
    """A piece whose rows are encoded for the database and for the rejects file."""

    checked: Checked
    members: int
    rows: bytes
    rejects: bytes
    rejected: int


async def _stage(
    database: Database, vault: Vault, job: Job, run: ImportRun, summary: Summary, report: Report
) -> None:
    pieces = _Pieces(database, vault, job, run.rows_read)
    coming = asyncio.create_task(pieces.next())
    while (ready := await coming) is not None:
        # The next piece is read while this one is being stored.
        coming = asyncio.create_task(pieces.next())
        begun = time.perf_counter()
        await _store(database, job, run, ready)
        summary.loading_seconds += time.perf_counter() - begun
        summary.members += ready.members
        _tally(summary, ready.checked)
        report("reading", run.rows_read, None)
    summary.reading_seconds = pieces.reading_seconds
    summary.loading_seconds += pieces.loading_seconds
    if not run.rows_read:
        raise ImportFailed(f"{job.file.path} has a header but no rows.")


async def _store(database: Database, job: Job, run: ImportRun, ready: _Ready) -> None:
    """Stage a piece's good rows, put the bad ones aside, and note the progress with them."""
    async with database.begin() as tx:
        # A crash of the server loses rows and progress together: nothing to wait for.
        await tx.session.execute(text("SET LOCAL synchronous_commit = off"))
        staged = await orders.importing.stage_rows(tx, run, ready.rows)
        await asyncio.to_thread(job.rejects.append, ready.rejects)
        progress = orders.importing.Progress(
            rows_read=run.rows_read + len(ready.checked.piece),
            rows_rejected=run.rows_rejected + ready.rejected,
            rejects_bytes=job.rejects.bytes,
        )
        await orders.importing.note_staged(tx, run, staged=staged, progress=progress)


class _Pieces:
    """Reads, checks and encodes what is not stored yet, counting the time it takes."""

    def __init__(self, database: Database, vault: Vault, job: Job, rows_done: int) -> None:
        self._database, self._vault, self._job = database, vault, job
        self._checked = _checked_after(job, rows_done)
        self.reading_seconds = 0.0
        self.loading_seconds = 0.0

    async def next(self) -> _Ready | None:
        begun = time.perf_counter()
        checked = await asyncio.to_thread(next, self._checked, None)
        if checked is None:
            return None
        asked = time.perf_counter()
        ids, fresh = await self._members(checked)
        answered = time.perf_counter()
        ready = await asyncio.to_thread(self._encode, checked, ids, fresh)
        self.loading_seconds += answered - asked
        self.reading_seconds += asked - begun + time.perf_counter() - answered
        return ready

    async def _members(self, checked: Checked) -> tuple[dict[int, str], int]:
        customers = checked.customers()
        if not customers:
            return {}, 0
        async with self._database.begin() as tx:
            return await _member_ids(tx, self._vault, self._job, checked, customers)

    def _encode(self, checked: Checked, ids: dict[int, str], fresh: int) -> _Ready:
        rows = _csv(_TABLES[self._job.kind](checked, ids)) if ids else b""
        rejects, rejected = self._job.rejects.encode(checked)
        return _Ready(checked, fresh, rows, rejects, rejected)


def _checked_after(job: Job, rows_done: int) -> Iterator[Checked]:
    passed = 0
    for piece in job.file.pieces():
        # Pieces of another size than those of the interrupted run, should this be a newer Linli.
        left = piece.after(rows_done - passed)
        passed += len(piece)
        if len(left):
            yield check(left, job.rules, job.kind)


async def _member_ids(
    tx: Tx, vault: Vault, job: Job, checked: Checked, customers: Mapping[int, tuple[str, int]]
) -> tuple[dict[int, str], int]:
    """Member ids by the customer's place among the distinct ones, and how many are new."""
    homes = {
        place: checked.text("community", row) or job.community
        for place, (_, row) in customers.items()
    }
    zone = job.rules.reading.zone.key
    communities = await orders.importing.open_communities(tx, set(homes.values()), time_zone=zone)
    cards: dict[str, orders.importing.Newcomer] = {}
    for place, (number, row) in customers.items():
        home = communities[homes[place]]
        name = members.nickname_or(f"顾客 {number}", "顾客")
        newcomer = orders.importing.Newcomer(name, home, checked.at(row))
        cards.setdefault(number, newcomer)
    ids, fresh = await orders.importing.recognise_cards(
        tx, vault=vault, app=job.source, cards=cards
    )
    return {place: str(ids[number]) for place, (number, _) in customers.items()}, fresh


async def _merge(
    database: Database, job: Job, run: ImportRun, summary: Summary, report: Report
) -> None:
    if run.phase is ImportPhase.STAGING:
        async with database.begin() as tx:
            await orders.importing.start_merge(tx, run)
    while run.phase is ImportPhase.MERGING:
        report("storing", run.next_bucket, orders.importing.BUCKETS)
        merged = await _merge_step(database, job, run)
        for name, count in asdict(merged).items():
            setattr(summary, name, getattr(summary, name) + count)


async def _merge_step(database: Database, job: Job, run: ImportRun) -> orders.importing.Merged:
    """Merge a step in two halves at once; if only one is stored, it does no harm to repeat it."""
    merge = orders.importing.merge_orders
    if job.kind is ImportKind.EVENTS:
        merge = orders.importing.merge_events

    async def half(buckets: range) -> orders.importing.Merged:
        async with database.begin() as tx:
            return await merge(tx, run, buckets)

    buckets = orders.importing.step(run)
    middle = len(buckets) // 2
    try:
        async with asyncio.TaskGroup() as halves:
            one = halves.create_task(half(buckets[:middle]))
            other = halves.create_task(half(buckets[middle:]))
    except ExceptionGroup as both:
        raise both.exceptions[0] from None
    async with database.begin() as tx:
        await orders.importing.note_merged(tx, run, buckets.stop)
    return one.result() + other.result()


async def _finish(
    database: Database, job: Job, run: ImportRun, summary: Summary, report: Report
) -> None:
    report("matching returns", 0, None)
    async with database.begin() as tx:
        if job.kind is ImportKind.ORDERS:
            summary.refunds_matched = await orders.importing.match_refunds(tx, run)
        await orders.importing.finish_run(tx, run)


def _csv(table: ArrowTable) -> bytes:
    rows = io.BytesIO()
    pa_csv.write_csv(table, rows, pa_csv.WriteOptions(include_header=False))
    return rows.getvalue()


def _tally(summary: Summary, checked: Checked) -> None:
    numbers, counts = np.unique(checked.fault[checked.bad()], return_counts=True)
    for number, count in zip(numbers, counts, strict=True):
        summary.reasons[PROBLEMS[number - 1].value.code] += int(count)
    for item in checked.piece.broken:
        summary.reasons[item.problem.value.code] += 1
