"""Experiments from a file: one row a member, with the treatment, the outcome and what was known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as csv
import pyarrow.parquet as parquet

from ml.arrays import F32
from ml.errors import UnreadableFile
from ml.uplift import Trial

# Its functions are made when it is loaded, unseen by type checkers.
compute: Any = pyarrow.compute
_MOST: Final = 1e30
_MOST_SAID: Final = 200
MOST_KINDS: Final = 20
"""A column of texts with more kinds than that says who somebody is rather than what they are."""


@dataclass(frozen=True)
class Asked:
    """Which columns are what; `treated` and `control` are values of the treatment's column."""

    treatment: str
    outcome: str
    treated: str
    control: str
    left_out: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Read:
    """The experiment with the names of its columns; texts became one column a kind."""

    trial: Trial
    columns: tuple[str, ...]


def read_trial(path: Path, asked: Asked) -> Read:
    """The members of both arms; rows of other treatments, or without an outcome, are left out.

    Every other column is something that was known of the member before: numbers as they are, texts
    of few kinds one column a kind. What came after the treatment must be named in `left_out`.
    Raises UnreadableFile, naming what is missing.
    """
    table = _table(path)
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise UnreadableFile(f"{path.name} has several columns named {', '.join(twice)}")
    missing = [name for name in (asked.treatment, asked.outcome) if name not in table.column_names]
    if missing:
        had = ", ".join(table.column_names)
        raise UnreadableFile(f"{path.name} has no column {' or '.join(missing)}; it has: {had}")
    arm = compute.cast(table[asked.treatment], pa.string())
    wanted = compute.is_in(arm, value_set=pa.array([asked.treated, asked.control]))
    table = table.filter(compute.and_(wanted, compute.is_valid(table[asked.outcome])))
    if not table.num_rows:
        raise UnreadableFile(
            f"{path.name} has no row whose {asked.treatment} is {asked.treated} or {asked.control} "
            f"and whose {asked.outcome} is known"
        )
    treated = np.asarray(
        compute.equal(compute.cast(table[asked.treatment], pa.string()), asked.treated)
    ).astype(bool)
    known = {asked.treatment, asked.outcome, *asked.left_out}
    parts: list[tuple[str, F32]] = []
    for name in table.column_names:
        if name not in known:
            parts += _encoded(name, table[name])
    if not parts:
        raise UnreadableFile(f"{path.name} has no column that says something of members before")
    values = np.column_stack([values for _, values in parts])
    outcome = _numbers(path, asked.outcome, table[asked.outcome])
    return Read(Trial(values, treated, outcome), tuple(name for name, _ in parts))


def _table(path: Path) -> Any:
    if path.exists() and not path.is_file():
        raise UnreadableFile(f"{path.name} is a pipe or a device: save it to a file first")
    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        return csv.read_csv(path)
    except (OSError, pa.ArrowException) as error:
        said = "".join(one if one.isprintable() else "?" for one in str(error)[:_MOST_SAID])
        raise UnreadableFile(f"{path.name} cannot be read: {said}") from error


def _numbers(path: Path, name: str, column: Any) -> Any:
    try:
        numbers = np.asarray(compute.cast(column, pa.float64()), dtype=np.float64)
    except pa.ArrowException as error:
        raise UnreadableFile(f"{path.name}: the column {name} is not of numbers") from error
    if not np.isfinite(numbers).all():
        raise UnreadableFile(f"{path.name}: the column {name} holds numbers that are not finite")
    return numbers


def _encoded(name: str, column: Any) -> list[tuple[str, F32]]:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers = np.asarray(compute.cast(column, pa.float64()), dtype=np.float64)
        # What no single-precision number holds says nothing; models take it as unknown.
        known = np.where(np.abs(numbers) <= _MOST, numbers, np.nan)
        return [(name, known.astype(np.float32))]
    if not pa.types.is_string(kind):
        return []
    kinds = sorted(str(item) for item in compute.unique(column).to_pylist() if item is not None)
    if not 1 < len(kinds) <= MOST_KINDS:
        return []
    texts = np.asarray(compute.fill_null(column, ""), dtype=object)
    return [(f"{name}={item}", (texts == item).astype(np.float32)) for item in kinds]
