"""One import from the first row to the last: read, check, stage, merge, match."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Final

import numpy as np
import orjson
import pyarrow.csv as pa_csv
from sqlalchemy import text

from app import orders
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


async def _stage(
    database: Database, vault: Vault, job: Job, run: ImportRun, summary: Summary, report: Report
) -> None:
    pieces = _Reader(job, run.rows_read)
    coming = asyncio.create_task(asyncio.to_thread(pieces.next))
    while (checked := await coming) is not None:
        # The next piece is read while this one is being stored.
        coming = asyncio.create_task(asyncio.to_thread(pieces.next))
        begun = time.perf_counter()
        async with database.begin() as tx:
            await tx.session.execute(text("SET LOCAL synchronous_commit = off"))
            summary.members += await _stage_piece(tx, vault, job, run, checked)
        summary.loading_seconds += time.perf_counter() - begun
        _tally(summary, checked)
        report("reading", run.rows_read, None)
    summary.reading_seconds = pieces.seconds
    if not run.rows_read:
        raise ImportFailed(f"{job.file.path} has a header but no rows.")


async def _stage_piece(tx: Tx, vault: Vault, job: Job, run: ImportRun, checked: Checked) -> int:
    """Store a piece's good rows and put the bad ones aside; answers how many members are new."""
    ids, fresh = await _member_ids(tx, vault, job, checked)
    staged = 0
    if ids:
        table = _TABLES[job.kind](checked, ids)
        staged = await orders.importing.stage_rows(tx, run, _csv(table))
    rejected = job.rejects.add(checked)
    progress = orders.importing.Progress(
        rows_read=run.rows_read + len(checked.piece),
        rows_rejected=run.rows_rejected + rejected,
        rejects_bytes=job.rejects.bytes,
    )
    await orders.importing.note_staged(tx, run, staged=staged, progress=progress)
    return fresh


async def _member_ids(
    tx: Tx, vault: Vault, job: Job, checked: Checked
) -> tuple[dict[int, str], int]:
    customers = checked.customers()
    if not customers:
        return {}, 0
    homes = {
        place: checked.text("community", row) or job.community
        for place, (_, row) in customers.items()
    }
    zone = job.rules.reading.zone.key
    communities = await orders.importing.open_communities(tx, set(homes.values()), time_zone=zone)
    cards: dict[str, orders.importing.Newcomer] = {}
    for place, (number, row) in customers.items():
        home = communities[homes[place]]
        newcomer = orders.importing.Newcomer(f"顾客 {number}", home, checked.at(row))
        cards.setdefault(number, newcomer)
    ids, fresh = await orders.importing.recognise_cards(
        tx, vault=vault, app=job.source, cards=cards
    )
    return {place: str(ids[number]) for place, (number, _) in customers.items()}, fresh


async def _merge(
    database: Database, job: Job, run: ImportRun, summary: Summary, report: Report
) -> None:
    merge = orders.importing.merge_orders
    if job.kind is ImportKind.EVENTS:
        merge = orders.importing.merge_events
    while run.phase in (ImportPhase.STAGING, ImportPhase.MERGING):
        report("storing", run.next_bucket, orders.importing.BUCKETS)
        async with database.begin() as tx:
            merged = await merge(tx, run)
        for name, count in asdict(merged).items():
            setattr(summary, name, getattr(summary, name) + count)


async def _finish(
    database: Database, job: Job, run: ImportRun, summary: Summary, report: Report
) -> None:
    report("matching returns", 0, None)
    async with database.begin() as tx:
        if job.kind is ImportKind.ORDERS:
            summary.refunds_matched = await orders.importing.match_refunds(tx, run)
        await orders.importing.finish_run(tx, run)


class _Reader:
    """Reads and checks pieces after those that are stored already, counting its time."""

    def __init__(self, job: Job, rows_done: int) -> None:
        self._pieces = self._after(job, rows_done)
        self.seconds = 0.0

    def next(self) -> Checked | None:
        begun = time.perf_counter()
        try:
            return next(self._pieces, None)
        finally:
            self.seconds += time.perf_counter() - begun

    @staticmethod
    def _after(job: Job, rows_done: int) -> Iterator[Checked]:
        passed = 0
        for piece in job.file.pieces():
            passed += len(piece)
            if len(piece) and passed > rows_done:
                yield check(piece, job.rules, job.kind)


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
