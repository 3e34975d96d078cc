"""Imports of files: rows are staged, merged by set SQL, and returns are matched to their orders."""

from app.orders.importing.matching import match_refunds
from app.orders.importing.merging import (
    Merged,
    merge_events,
    merge_orders,
    note_merged,
    start_merge,
    step,
)
from app.orders.importing.people import Newcomer, open_communities, recognise_cards
from app.orders.importing.runs import Progress, finish_run, note_staged, only_import_of, open_run
from app.orders.importing.staging import BUCKETS, EVENT_COLUMNS, LINE_COLUMNS, stage_rows

__all__ = [
    "BUCKETS",
    "EVENT_COLUMNS",
    "LINE_COLUMNS",
    "Merged",
    "Newcomer",
    "Progress",
    "finish_run",
    "match_refunds",
    "merge_events",
    "merge_orders",
    "note_merged",
    "note_staged",
    "only_import_of",
    "open_communities",
    "open_run",
    "recognise_cards",
    "stage_rows",
    "start_merge",
    "step",
]
