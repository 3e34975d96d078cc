"""Two members who are one person: the face of the slice."""

from app.merging.commands import merge, patiently, settle
from app.merging.errors import MergeBusy
from app.merging.parts import PARTS, Blank, Merges, Part
from app.merging.preview import Holding, Preview, preview
from app.merging.tables import Merge

__all__ = [
    "PARTS",
    "Blank",
    "Holding",
    "Merge",
    "MergeBusy",
    "Merges",
    "Part",
    "Preview",
    "merge",
    "patiently",
    "preview",
    "settle",
]
