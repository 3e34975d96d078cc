"""Taking one's data along and closing one's account: the face of the slice."""

from app.leaving.erasing import erase, erase_due
from app.leaving.errors import ExportedRecently, ExportUnderWay
from app.leaving.events import DataExportReady, DataExportRequested
from app.leaving.exporting import end_exports, give_up_exports, make_export, request_export
from app.leaving.queries import newest_by_member, part, parts_by_kid, ready
from app.leaving.rotating import reseal
from app.leaving.rules import EXPORT_LASTS, EXPORT_PAUSE, seconds_to_wait
from app.leaving.tables import DataExport, DataExportPart, ExportState

__all__ = [
    "EXPORT_LASTS",
    "EXPORT_PAUSE",
    "DataExport",
    "DataExportPart",
    "DataExportReady",
    "DataExportRequested",
    "ExportState",
    "ExportUnderWay",
    "ExportedRecently",
    "end_exports",
    "erase",
    "erase_due",
    "give_up_exports",
    "make_export",
    "newest_by_member",
    "part",
    "parts_by_kid",
    "ready",
    "request_export",
    "reseal",
    "seconds_to_wait",
]
