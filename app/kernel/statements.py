"""Reads that are asked at every request: compiled once, run through asyncpg itself.

SQLAlchemy's session spends several times what PostgreSQL does on a read of a few rows: it looks up
the compiled text, walks through a greenlet, begins and ends a transaction, and loads each row
through the unit of work. A `Statement` is the same `select`, compiled when its module is loaded.
Its rows are asyncpg's own records with the attributes of the table's class: they are read like its
objects, cost nothing to make, and cannot be changed, which would be lost. `Read.fetch` runs it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar, TypeVarTuple, cast

import asyncpg
from sqlalchemy import BindParameter, Select, bindparam, func, inspect, text
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
    # The same with each row as one value, to stand in a statement with others.
    nested: str
    # The class that asyncpg makes its records of.
    record: type[asyncpg.Record] = asyncpg.Record

    def __init__(self, select: "Select[*tuple[Any, ...]]", columns: Sequence[Any]) -> None:
        """Compile the select of these columns; parameters keep their names."""
        compiled = select.with_only_columns(*columns).compile(dialect=_DIALECT)
        self.sql = str(compiled)
        nested = select.with_only_columns(func.row(*columns).label("q"))
        self.nested = str(nested.compile(dialect=_DIALECT))
        if "POSTCOMPILE" in self.sql:
            raise TypeError("a list of values is a parameter of its own: use any_(ids(...))")
        self._order: Sequence[str] = list(getattr(compiled, "positiontup", None) or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        # Enums become the texts they are stored as; there is no public way to these. What arrays
        # of ids and texts hold, asyncpg takes as it is.
        processors: Mapping[str, Reader] = getattr(compiled, "_bind_processors", {})
        self._processors = {
            name: process
            for name, process in processors.items()
            if not isinstance(compiled.binds[name].type, ARRAY)
        }

    @property
    def places(self) -> int:
        """How many parameters the text has."""
        return len(self._order)

    def arguments(self, given: Mapping[str, object]) -> list[object]:
        """The parameters in the order of the text. Raises KeyError for one that is missing."""
        fixed, processors = self._fixed, self._processors
        values: list[object] = []
        for name in self._order:
            value = given[name] if name in given else fixed[name]
            process = processors.get(name)
            values.append(value if process is None else process(value))
        return values

    def rows(self, records: list[Any]) -> list[R]:
        """The rows of asyncpg's records."""
        return records

    def nested_rows(self, tuples: list[Any]) -> list[R]:
        """The rows of the tuples that the nested text answers."""
        return self.rows(tuples)


class Entities(Statement[T]):
    """A select of one table's rows."""

    def __init__(self, select: "Select[T]") -> None:
        """Compile the select."""
        (entity,) = _entities(select)
        mapper = _mapper_of(entity)
        if mapper is None:
            raise TypeError("a select of one table is expected")
        keys = _keys(mapper)
        super().__init__(select, [getattr(entity, key) for key in keys])
        self.record = _record_class(mapper, keys)
        self._view = _view(mapper, keys, 0)

    def nested_rows(self, tuples: list[Any]) -> list[T]:
        """The rows of the tuples that the nested text answers."""
        view = self._view
        return [view(item) for item in tuples]


class ListOf(Generic[T]):
    """Some attributes of those rows of one table that belong to a row of another select."""

    def __init__(self, select: "Select[T]", only: str) -> None:
        """Take a select that refers to the other's table and is correlated to it."""
        (entity,) = _entities(select)
        mapper = _mapper_of(entity)
        if mapper is None:
            raise TypeError("a select of one table is expected")
        keys = only.split()
        columns = [getattr(entity, key) for key in keys]
        rows = select.with_only_columns(func.row(*columns)).scalar_subquery()
        self.column: ColumnElement[Any] = func.array(rows)
        self._view = _view_class(mapper, keys)

    def reader(self, at: int) -> Reader:
        """Reads the list from that place of a record."""
        view = self._view
        return lambda record: [view(item) for item in record[at]]


class Rows(Statement[tuple[*Ts]]):
    """A select of several things: columns and whole tables in any mixture."""

    def __init__(
        self,
        select: "Select[*Ts]",
        *,
        only: Mapping[type, Sequence[str]] | None = None,
        lists: Sequence[ListOf[Any]] = (),
    ) -> None:
        """Compile the select; `only` names the attributes that are read of a table.

        `lists` are selects that refer to the row: each adds the list of its rows at the end.
        """
        parts = only or {}
        columns: list[Any] = []
        self._makers: list[Reader] = []
        for entity in _entities(select):
            mapper = _mapper_of(entity)
            if mapper is None:
                self._makers.append(_value(entity, len(columns)))
                columns.append(entity)
            else:
                wanted = parts.get(mapper.class_)
                keys = _keys(mapper) if wanted is None else wanted
                self._makers.append(_view(mapper, keys, len(columns)))
                columns.extend(getattr(entity, key) for key in keys)
        for inner in lists:
            self._makers.append(inner.reader(len(columns)))
            columns.append(inner.column)
        super().__init__(select, columns)

    def rows(self, records: list[Any]) -> list[tuple[*Ts]]:
        """Tuples in the order of the select; a table of an outer join may be None."""
        makers = self._makers
        made = [tuple([make(record) for make in makers]) for record in records]
        return cast("list[tuple[*Ts]]", made)


class Lines(Statement[Mapping[str, Any]]):
    """SQL as text with `:name` for its parameters; its rows are read by column name."""

    def __init__(self, sql: str, columns: str) -> None:
        """Take the text and the names of its columns.

        Parameters whose type is not plain from the text are written `CAST(:x AS …)`.
        """
        compiled = text(sql).compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self.nested = f"SELECT ROW(q.*) AS q FROM ({self.sql}) q"
        self._order = list(compiled.positiontup or ())
        self._fixed, self._processors = {}, {}
        self._columns = columns.split()

    def nested_rows(self, tuples: list[Any]) -> list[Mapping[str, Any]]:
        """The rows of the tuples that the nested text answers."""
        return [dict(zip(self._columns, item, strict=True)) for item in tuples]


def _entities(select: "Select[*tuple[Any, ...]]") -> Iterable[Any]:
    return [described["expr"] for described in select.column_descriptions]


def _mapper_of(entity: Any) -> Mapper[Any] | None:
    found = inspect(entity, raiseerr=False)
    return found.mapper if isinstance(found, Mapper | AliasedInsp) else None


def _keys(mapper: Mapper[Any]) -> list[str]:
    return [mapper.get_property_by_column(item).key for item in mapper.columns]


def _record_class(mapper: Mapper[Any], keys: Sequence[str]) -> type[asyncpg.Record]:
    """Records with a table's attributes."""
    attributes = {"__slots__": (), **_attributes(mapper, keys)}
    return type(f"{mapper.class_.__name__}Record", (asyncpg.Record,), attributes)


def _view(mapper: Mapper[Any], keys: Sequence[str], start: int) -> Reader:
    """Makes the part of a record that is one table's, None where an outer join found none."""
    view = _view_class(mapper, keys)
    stop = start + len(keys)
    identity = start + keys.index(mapper.get_property_by_column(mapper.primary_key[0]).key)
    return lambda record: None if record[identity] is None else view(record[start:stop])


def _view_class(mapper: Mapper[Any], keys: Sequence[str]) -> type[tuple[Any, ...]]:
    attributes = {"__slots__": (), **_attributes(mapper, keys)}
    return type(f"{mapper.class_.__name__}View", (tuple,), attributes)


def _attributes(mapper: Mapper[Any], keys: Sequence[str]) -> dict[str, Any]:
    kinds = {mapper.get_property_by_column(item).key: item.type for item in mapper.columns}
    return {key: property(_value_of(kinds[key], at)) for at, key in enumerate(keys)}


def _value(expression: ColumnElement[Any], at: int) -> Reader:
    return _value_of(expression.type, at)


def _value_of(kind: TypeEngine[Any], at: int) -> Reader:
    """Reads a column of a record."""
    read = _reader(kind)
    if read is None:
        return itemgetter(at)

    def value(record: Sequence[Any]) -> Any:
        found = record[at]
        return None if found is None else read(found)

    return value


def _reader(kind: TypeEngine[Any]) -> Reader | None:
    """What turns asyncpg's value of a column into ours; None where it is ours already."""
    if isinstance(kind, Enum) and kind.enum_class is not None:
        values = {item.name: item for item in kind.enum_class}
        return values.__getitem__
    if isinstance(kind, ARRAY):
        inner = _reader(kind.item_type)
        return None if inner is None else lambda items: [inner(item) for item in items]
    return None
