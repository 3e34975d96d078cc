"""Random valid documents over any schema, with variables: sound ones and unsound ones."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_composite_type,
    is_required_argument,
    is_required_input_field,
    type_from_ast,
)
from graphql.language import OperationType, parse_type

# Values of scalars in JSON; those of schemas with rules of their own are given besides.
PLAIN: dict[str, Callable[[Random], Any]] = {
    "Int": lambda rng: rng.choice([0, 1, 2, -1, 7, 2**31 - 1]),
    "Float": lambda rng: rng.choice([0.5, -1.25, 3, 1e3]),
    "String": lambda rng: rng.choice(["", "text", "汉字", 'quoted "so" \\ \n', "$v0"]),
    "Boolean": lambda rng: rng.random() < 0.5,
    "ID": lambda rng: rng.choice(["id1", "2", 3]),
}
# Answers the candidates for an argument (by the field's parent, its name and the argument's), or
# None where any value of its type will do.
Hints = Callable[[str, str, str], "list[Any] | None"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text, and what makes values for its variables: each time others."""

    text: str
    variables: Callable[[Random], dict[str, Any]]


@dataclass
class Writer:
    """Writes one document."""

    schema: GraphQLSchema
    rng: Random
    # Always give fields a response key of their own: without, keys may conflict.
    is_careful: bool = False
    # The share of variables that get a value which may not fit.
    unsound: float = 0.01
    scalars: dict[str, Callable[[Random], Any]] = field(default_factory=dict)
    hints: Hints = lambda *_: None
    # The fields of the root that may be asked, if not all.
    roots: set[str] | None = None
    most: int = 90
    _fragments: dict[str, tuple[GraphQLNamedType, str]] = field(default_factory=dict)
    _declared: dict[str, str] = field(default_factory=dict)
    _drawn: "dict[str, tuple[Any, bool, list[Any] | None]]" = field(default_factory=dict)
    _aliases: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)
    _fields: int = 0

    def document(self, kind: OperationType, name: str = "") -> Document:
        """A document of one operation of a kind."""
        root: Any = self.schema.get_root_type(kind)
        count = 1 if kind is OperationType.SUBSCRIPTION else self.rng.randint(1, 4)
        inside = self._selections(root, 5, count, is_root=True)
        declared = ", ".join(f"${key}: {said}" for key, said in self._declared.items())
        head = f"{kind.value} {name}{f'({declared})' if declared else ''}"
        parts = [f"{head} {inside}"]
        parts += [f"fragment {key} on {on} {text}" for key, (on, text) in self._fragments.items()]
        return Document("\n".join(parts), self._values)

    def _values(self, rng: Random) -> dict[str, Any]:
        """Values for the variables; those that may be absent sometimes are."""
        self.rng = rng
        values: dict[str, Any] = {}
        for key, (kind, may_lack, candidates) in self._drawn.items():
            if may_lack and rng.random() < 0.3:
                continue
            if rng.random() < self.unsound:
                values[key] = rng.choice([None, "text", 1.5, [], {}, True, [None], {"a": 1}])
            else:
                values[key] = self._value(kind) if candidates is None else rng.choice(candidates)
        return values

    def _selections(
        self, parent: Any, levels: int, count: int | None = None, *, is_root: bool = False
    ) -> str:
        rng, found = self.rng, []
        for _ in range(count or rng.choice([1, 2, 2, 3, 4])):
            chosen = rng.random()
            if is_root and count == 1:
                chosen = 1.0
            if chosen < 0.1:
                found.append("__typename")
            elif chosen < 0.22 and levels > 0:
                on = self._overlapping(parent)
                inside = self._selections(on, levels - 1, is_root=is_root)
                head = f"... on {on}" if rng.random() < 0.9 or on is not parent else "..."
                found.append(f"{head}{self._condition()} {inside}")
            elif chosen < 0.34 and levels > 0:
                found.append(self._spread(parent, levels, is_root=is_root))
            else:
                found.append(self._some_field(parent, levels, is_root=is_root))
        return "{ " + " ".join(found) + " }"

    def _overlapping(self, parent: Any) -> Any:
        """A type that a fragment inside of this one may be on."""
        own = self._possible(parent)
        others: list[Any] = [parent, *own]
        for kind in self.schema.type_map.values():
            is_abstract = isinstance(kind, GraphQLInterfaceType | GraphQLUnionType)
            if is_abstract and kind is not parent and own & self._possible(kind):
                others.append(kind)
        return self.rng.choice(sorted(others, key=lambda it: it.name))

    def _possible(self, kind: Any) -> set[Any]:
        if isinstance(kind, GraphQLObjectType):
            return {kind}
        return set(self.schema.get_possible_types(kind))

    def _spread(self, parent: Any, levels: int, *, is_root: bool) -> str:
        rng, own = self.rng, self._possible(parent)
        fitting = [name for name, (on, _) in self._fragments.items() if own & self._possible(on)]
        if fitting and rng.random() < 0.6:
            name = rng.choice(fitting)
        else:
            on = self._overlapping(parent)
            text = self._selections(on, min(levels - 1, 2), is_root=is_root)
            name = f"F{len(self._fragments)}"
            self._fragments[name] = (on, text)
        return f"...{name}{self._condition()}"

    def _condition(self) -> str:
        rng = self.rng
        if rng.random() < 0.85:
            return ""
        name = rng.choice(["skip", "include"])
        if rng.random() < 0.5:
            return f" @{name}(if: {rng.choice(['true', 'false'])})"
        known = [key for key, said in self._declared.items() if said.startswith("Boolean")]
        if known and rng.random() < 0.5:
            key = rng.choice(known)
        else:
            key = self._declare(rng.choice(["Boolean!", "Boolean! = true", "Boolean = false"]))
        return f" @{name}(if: ${key})"

    def _some_field(self, parent: Any, levels: int, *, is_root: bool) -> str:
        fields: dict[str, GraphQLField] = getattr(parent, "fields", {})
        names = [
            name
            for name, it in fields.items()
            if (levels > 0 and self._fields < self.most) or not is_composite_type(_named(it))
        ]
        if is_root and self.roots is not None:
            names = [name for name in names if name in self.roots]
        if not names:
            return "__typename"
        name = self.rng.choice(names)
        return self._field(parent, name, fields[name], levels)

    def _field(self, parent: Any, name: str, it: GraphQLField, levels: int) -> str:
        self._fields += 1
        arguments = self._arguments(parent, name, it)
        alias = self._alias(parent.name, name, arguments)
        text = f"{alias}{name}{arguments}{self._condition()}"
        if is_composite_type(_named(it)):
            text += " " + self._selections(_named(it), levels - 1)
        return text

    def _alias(self, parent: str, name: str, arguments: str) -> str:
        rng = self.rng
        if not self.is_careful and not arguments and rng.random() < 0.6:
            return ""
        known = self._aliases.setdefault((parent, name, arguments), [])
        if not known or rng.random() < 0.5:
            known.append(f"a{sum(map(len, self._aliases.values()))}")
        return f"{rng.choice(known)}: "

    def _arguments(self, parent: Any, name: str, it: GraphQLField) -> str:
        given: list[str] = []
        for key, argument in it.args.items():
            if not is_required_argument(argument) and self.rng.random() < 0.35:
                continue
            given.append(f"{key}: {self._argument(parent.name, name, key, argument)}")
        return f"({', '.join(given)})" if given else ""

    def _argument(self, parent: str, name: str, key: str, argument: GraphQLArgument) -> str:
        candidates = self.hints(parent, name, key)
        kind: Any = argument.type
        if self.rng.random() < 0.4:
            return f"${self._variable(kind, argument.default_value, candidates)}"
        if candidates is not None:
            return _printed(self.rng.choice(candidates), _bare(kind))
        return self._literal(kind)

    def _variable(self, kind: Any, default: Any, candidates: list[Any] | None) -> str:
        rng = self.rng
        said = str(kind)
        if isinstance(kind, GraphQLNonNull) and default is not Undefined and rng.random() < 0.5:
            said = said[:-1]  # null would be an error of the field's, absence its default
        elif not isinstance(kind, GraphQLNonNull) and rng.random() < 0.3:
            said += "!"
        if rng.random() < 0.25:
            bare: Any = _bare(kind)
            value = self._present(bare) if candidates is None else rng.choice(candidates)
            said += f" = {_printed(value, bare)}"
        return self._declare(said, candidates)

    def _declare(self, said: str, candidates: list[Any] | None = None) -> str:
        key = f"v{len(self._declared)}"
        self._declared[key] = said
        kind: Any = type_from_ast(self.schema, parse_type(said.partition(" = ")[0]))
        may_lack = " = " in said or not isinstance(kind, GraphQLNonNull)
        self._drawn[key] = (kind, may_lack, candidates)
        return key

    def _value(self, kind: Any) -> Any:
        """A value in JSON."""
        if not isinstance(kind, GraphQLNonNull) and self.rng.random() < 0.15:
            return None
        return self._present(kind)

    def _present(self, kind: Any) -> Any:
        rng = self.rng
        if isinstance(kind, GraphQLNonNull):
            return self._present(kind.of_type)
        if isinstance(kind, GraphQLList):
            items: Any = kind.of_type
            return [
                self._present(items)
                if isinstance(items, GraphQLNonNull) or rng.random() < 0.8
                else None
                for _ in range(rng.choice([0, 1, 2, 3]))
            ]
        if isinstance(kind, GraphQLEnumType):
            return rng.choice(sorted(kind.values))
        if isinstance(kind, GraphQLInputObjectType):
            return {
                key: self._present(it.type)
                for key, it in kind.fields.items()
                if is_required_input_field(it) or rng.random() < 0.5
            }
        make = self.scalars.get(kind.name) or PLAIN.get(kind.name)
        return "text" if make is None else make(rng)

    def _literal(self, kind: Any) -> str:
        rng = self.rng
        if not isinstance(kind, GraphQLNonNull) and rng.random() < 0.1:
            return "null"
        bare: Any = _bare(kind)
        if isinstance(bare, GraphQLList):
            items: Any = bare.of_type
            inside = [
                f"${self._variable(items, Undefined, None)}"
                if rng.random() < 0.2
                else self._literal(items)
                for _ in range(rng.choice([0, 1, 2, 3]))
            ]
            return f"[{', '.join(inside)}]"
        if isinstance(bare, GraphQLInputObjectType):
            return self._literal_object(bare)
        return _printed(self._present(bare), bare)

    def _literal_object(self, kind: GraphQLInputObjectType) -> str:
        rng = self.rng
        inside: list[str] = []
        for key, it in kind.fields.items():
            if not is_required_input_field(it) and rng.random() < 0.5:
                continue
            if rng.random() < 0.2:
                value = f"${self._variable(it.type, it.default_value, None)}"
            else:
                value = self._literal(it.type)
            inside.append(f"{key}: {value}")
        return "{" + ", ".join(inside) + "}"


def _named(it: GraphQLField) -> Any:
    return get_named_type(it.type)


def _bare(kind: Any) -> Any:
    return kind.of_type if isinstance(kind, GraphQLNonNull) else kind


def _printed(value: Any, kind: Any) -> str:
    """A JSON value as a literal of a type."""
    kind = _bare(kind)
    if value is None:
        return "null"
    if isinstance(kind, GraphQLList):
        return f"[{', '.join(_printed(item, kind.of_type) for item in value)}]"
    if isinstance(kind, GraphQLInputObjectType):
        inside = [f"{key}: {_printed(it, kind.fields[key].type)}" for key, it in value.items()]
        return "{" + ", ".join(inside) + "}"
    if isinstance(kind, GraphQLEnumType):
        return value
    return json.dumps(value, ensure_ascii=False)
