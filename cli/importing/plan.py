"""A command's options made into a job, or into the sentence that says what is wrong with them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from app.orders import ImportKind
from cli.importing.fields import (
    COMMUNITY,
    EVENT_FIELDS,
    ORDER_FIELDS,
    find_columns,
    preset_named,
    read_map,
)
from cli.importing.reasons import ImportFailed

if TYPE_CHECKING:
    from cli.importing.load import Job

LONGEST_SOURCE = 64


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for."""

    kind: ImportKind
    file: Path
    preset: str | None = None
    columns: list[str] | tuple[str, ...] = ()
    source: str | None = None
    time_zone: str | None = None
    fen_per_unit: int = 100
    community: str | None = None
    rejects: Path | None = None
    encoding: str | None = None
    date_formats: tuple[str, ...] = ()


def plan(wishes: Wishes, *, zone: str, now: datetime) -> "Job":
    """Look into the file and settle how it is read; `zone` is the installation's.

    Raises ImportFailed.
    """
    # Arrow takes a while to load, and `linli --help` should not wait for it.
    from cli.importing.checks import Rules
    from cli.importing.files import look_into
    from cli.importing.load import Job
    from cli.importing.rejects import RejectsFile
    from cli.importing.values import Reading

    preset = preset_named(wishes.preset)
    fields = ORDER_FIELDS if wishes.kind is ImportKind.ORDERS else EVENT_FIELDS
    file = look_into(wishes.file, encoding=wishes.encoding)
    chosen = read_map(wishes.columns)
    places = find_columns(file.columns, fields, chosen)
    if wishes.community is not None:
        if COMMUNITY.name in chosen:
            raise ImportFailed("--community and --map community=… exclude each other.")
        places.pop(COMMUNITY.name, None)
    reading = Reading(
        encoding=file.encoding or "utf-8",
        zone=_zone(wishes.time_zone or preset.time_zone or zone),
        date_formats=wishes.date_formats + preset.date_formats,
        latest=now + timedelta(days=1),
    )
    rules = Rules(fields, places, preset, reading, wishes.fen_per_unit)
    known = preset.source or "import"
    source = _source(known if wishes.source is None else wishes.source)
    rejects = wishes.rejects or Path(f"{wishes.file.name}.rejects.csv")
    return Job(
        kind=wishes.kind,
        file=file,
        rules=rules,
        source=source,
        community=wishes.community or source,
        rejects=RejectsFile(rejects, file, rules),
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ImportFailed(f"{name!r} is not a time zone such as Asia/Shanghai.") from error


def _source(name: str) -> str:
    if not 0 < len(name) <= LONGEST_SOURCE or "\0" in name:
        raise ImportFailed(f"A source's name has 1 to {LONGEST_SOURCE} characters.")
    return name
