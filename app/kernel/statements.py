"""Reads that are asked at every request: compiled once, run through asyncpg itself.

SQLAlchemy's session spends several times what PostgreSQL does on a read of a few rows: it looks up
the compiled text, walks through a greenlet, begins and ends a transaction, and loads each row
through the unit of work. A `Statement` is the same `select`, compiled when its module is loaded;
its rows are the same objects, detached. `Read.fetch` runs it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeVar, TypeVarTuple, cast

from sqlalchemy import BindParameter, Select, bindparam, inspect, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.util import AliasedInsp
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import Enum, Text, TypeEngine, Uuid

R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_DIALECT = dialect()  # pyright: ignore[reportUnknownVariableType]  # the module has no types
Reader = Callable[[Any], Any]


def ids(name: str) -> BindParameter[Any]:
    """A parameter that takes a list of ids: `where(Member.id == any_(ids("ids")))`."""
    return bindparam(name, type_=ARRAY(Uuid()))


def texts(name: str) -> BindParameter[Any]:
    """A parameter that takes a list of texts (or of enums, which are stored as texts)."""
    return bindparam(name, type_=ARRAY(Text()))


class Statement(Generic[R]):
    """A `select` compiled for asyncpg, with what turns its records into rows."""

    sql: str

    def __init__(self, select: "Select[*tuple[Any, ...]]") -> None:
        """Compile the select; parameters keep their names."""
        shapes, columns = _shapes(select)
        compiled = select.with_only_columns(*columns, maintain_column_froms=True).compile(
            dialect=_DIALECT
        )
        self.sql = str(compiled)
        if "POSTCOMPILE" in self.sql:
            raise TypeError("a list of values is a parameter of its own: use any_(ids(...))")
        # Enums become the texts they are stored as; there is no public way to these.
        self._processors: Mapping[str, Reader] = getattr(compiled, "_bind_processors", {})
        self._order: Sequence[str] = list(getattr(compiled, "positiontup", None) or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._shapes = shapes

    def arguments(self, given: Mapping[str, object]) -> list[object]:
        """The parameters in the order of the text. Raises KeyError for one that is missing."""
        fixed, processors = self._fixed, self._processors
        values: list[object] = []
        for name in self._order:
            value = given[name] if name in given else fixed[name]
            process = processors.get(name)
            values.append(value if process is None else process(value))
        return values

    def rows(self, records: Iterable[Any]) -> list[R]:
        """The rows of asyncpg's records."""
        raise TypeError("use Entities or Rows")


class Entities(Statement[T]):
    """A select of one table's rows."""

    def __init__(self, select: "Select[T]") -> None:
        """Compile the select."""
        super().__init__(select)

    def rows(self, records: Iterable[Any]) -> list[T]:
        """Detached objects of the table's class."""
        make = self._shapes[0].make
        return [make(record) for record in records]


class Rows(Statement[tuple[*Ts]]):
    """A select of several things: columns and whole tables in any mixture."""

    def __init__(self, select: "Select[*Ts]") -> None:
        """Compile the select."""
        super().__init__(select)

    def rows(self, records: Iterable[Any]) -> list[tuple[*Ts]]:
        """Tuples in the order of the select."""
        makers = [shape.make for shape in self._shapes]
        made = [tuple(make(record) for make in makers) for record in records]
        return cast("list[tuple[*Ts]]", made)


class Lines(Statement[Mapping[str, Any]]):
    """SQL as text with `:name` for its parameters; its rows are read by column name."""

    def __init__(self, sql: str) -> None:
        """Take the text; name parameters whose type is not plain from it by `CAST(:x AS …)`."""
        compiled = text(sql).compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._order = list(compiled.positiontup or ())
        self._fixed, self._processors, self._shapes = {}, {}, []

    def rows(self, records: Iterable[Any]) -> list[Mapping[str, Any]]:
        """asyncpg's own records."""
        return list(records)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one thing of a select is made of a record."""

    make: Callable[[Sequence[Any]], Any]


def _shapes(select: "Select[*tuple[Any, ...]]") -> tuple[list[_Shape], list[Any]]:
    shapes: list[_Shape] = []
    columns: list[Any] = []
    for described in select.column_descriptions:
        expression: Any = described["expr"]
        entity = inspect(expression, raiseerr=False)
        if isinstance(entity, Mapper | AliasedInsp):
            mapper: Mapper[Any] = entity.mapper
            shapes.append(_Shape(_entity(mapper, len(columns))))
            columns.extend(getattr(expression, key) for key in _keys(mapper))
        else:
            shapes.append(_Shape(_value(expression, len(columns))))
            columns.append(expression)
    return shapes, columns


def _keys(mapper: Mapper[Any]) -> list[str]:
    return [mapper.get_property_by_column(item).key for item in mapper.columns]


def _entity(mapper: Mapper[Any], start: int) -> Callable[[Sequence[Any]], Any]:
    """Makes detached objects: what a session hands out, less the session."""
    keys = _keys(mapper)
    stop = start + len(keys)
    readers = [
        (key, reader)
        for key, column in zip(keys, mapper.columns, strict=True)
        if (reader := _reader(column.type)) is not None
    ]
    blank = mapper.class_manager.new_instance
    identity = start + keys.index(mapper.get_property_by_column(mapper.primary_key[0]).key)

    def make(record: Sequence[Any]) -> Any:
        if record[identity] is None:
            return None  # the empty side of an outer join
        row = blank()
        values: dict[str, Any] = row.__dict__
        values.update(zip(keys, record[start:stop], strict=True))
        for key, reader in readers:
            value = values[key]
            if value is not None:
                values[key] = reader(value)
        return row

    return make


def _value(expression: ColumnElement[Any], at: int) -> Callable[[Sequence[Any]], Any]:
    reader = _reader(expression.type)
    if reader is None:
        return itemgetter(at)

    def make(record: Sequence[Any]) -> Any:
        value = record[at]
        return None if value is None else reader(value)

    return make


def _reader(kind: TypeEngine[Any]) -> Reader | None:
    """What turns asyncpg's value of a column into ours; None where it is ours already."""
    if isinstance(kind, Enum) and kind.enum_class is not None:
        values = {item.name: item for item in kind.enum_class}
        return values.__getitem__
    if isinstance(kind, ARRAY):
        inner = _reader(kind.item_type)
        return None if inner is None else lambda items: [inner(item) for item in items]
    return None
