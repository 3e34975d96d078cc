"""Small random documents over one schema, and data for them: what oracles are held against."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

SDL = """
interface Thing { id: ID! owner: Owner }
type Owner { id: ID! things(first: Int! = 3): ThingConnection! tags: [Tag!]! any: Any thing: Thing }
type Tag { id: ID! owner: Owner }
type Book implements Thing { id: ID! owner: Owner tags: [Tag] grid: [[Tag]] }
type Lamp implements Thing { id: ID! owner: Owner things(first: Int, last: Int): ThingConnection }
type ThingConnection { edges: [ThingEdge!]! nodes: [Thing!]! pageInfo: PageInfo! }
type ThingEdge { node: Thing! cursor: String! }
type PageInfo { endCursor: String }
union Any = Book | Lamp | Tag
type Query { owner: Owner any: Any thing: Thing tags(first: Int): [Tag] name: String }
type Mutation { owner: Owner any: Any name: String }
"""
# What each type's fields answer: None is a leaf.
FIELDS: dict[str, dict[str, str | None]] = {
    "Query": {"owner": "Owner", "any": "Any", "thing": "Thing", "tags": "Tag", "name": None},
    "Mutation": {"owner": "Owner", "any": "Any", "name": None},
    "Thing": {"id": None, "owner": "Owner"},
    "Owner": {
        "id": None,
        "things": "ThingConnection",
        "tags": "Tag",
        "any": "Any",
        "thing": "Thing",
    },
    "Tag": {"id": None, "owner": "Owner"},
    "Book": {"id": None, "owner": "Owner", "tags": "Tag", "grid": "Tag"},
    "Lamp": {"id": None, "owner": "Owner", "things": "ThingConnection"},
    "ThingConnection": {"edges": "ThingEdge", "nodes": "Thing", "pageInfo": "PageInfo"},
    "ThingEdge": {"node": "Thing", "cursor": None},
    "PageInfo": {"endCursor": None},
    "Any": {},
}
POSSIBLE = {"Thing": ["Book", "Lamp"], "Any": ["Book", "Lamp", "Tag"]}
NAMES = ["f", "g", "h"]
PAGED = {("Owner", "things"): ["first"], ("Lamp", "things"): ["first", "last"]}
PAGED[("Query", "tags")] = ["first"]
VARIABLES = ["v", "w"]


@dataclass
class Written:
    """A selection: a field or a fragment with what is inside of it."""

    text: str
    # For fields: parent, name, alias, arguments by name.
    parent: str = ""
    name: str = ""
    alias: str | None = None
    arguments: dict[str, str | int | None] = field(default_factory=dict)
    # For fragments: the type they are for, and the name of a spread one.
    on: str | None = None
    spread: str | None = None
    inside: "list[Written] | None" = None


@dataclass
class RandomDocument:
    """The text, its parts for an oracle, and values for its variables."""

    text: str
    kind: str
    operation: list[Written]
    fragments: dict[str, tuple[str, list[Written]]]
    variables: dict[str, Any]
    defaults: dict[str, int]


@st.composite
def selections(
    draw: st.DrawFn, parent: str, levels: int, fragments: dict[str, str]
) -> list[Written]:
    """What stands between braces on a type; `fragments` may be spread, by name their type."""
    names = [name for name, kind in FIELDS[parent].items() if kind is None or levels > 0]
    choices = ["field"] * 3 if names else []
    if levels > 0:
        choices += ["inline"]
        fitting = [name for name, on in fragments.items() if fits(parent, on)]
        choices += ["spread"] if fitting else []
    else:
        fitting = []
    found: list[Written] = []
    for _ in range(draw(st.integers(1, 3))):
        chosen = draw(st.sampled_from(choices)) if choices else "typename"
        if chosen == "field":
            found.append(draw(fields(parent, draw(st.sampled_from(names)), levels, fragments)))
        elif chosen == "inline":
            on = draw(st.sampled_from([None, *possible(parent)]))
            inside = draw(selections(on or parent, levels - 1, fragments))
            head = f"... on {on}" if on else "..."
            found.append(Written(f"{head} {braced(inside)}", on=on or parent, inside=inside))
        elif chosen == "spread":
            name = draw(st.sampled_from(fitting))
            found.append(Written(f"...{name}", on=fragments[name], spread=name))
        else:
            found.append(Written("__typename", parent=parent, name="__typename"))
    return found


@st.composite
def fields(
    draw: st.DrawFn, parent: str, name: str, levels: int, fragments: dict[str, str]
) -> Written:
    """A field, aliased by what makes it mergeable with any other of its key."""
    kind = FIELDS[parent][name]
    arguments: dict[str, str | int | None] = {}
    for argument in PAGED.get((parent, name), []):
        value = draw(st.one_of(st.none(), st.integers(-1, 4), st.sampled_from(VARIABLES)))
        if value is not None:
            arguments[argument] = value
    inside = None if kind is None else draw(selections(kind, levels - 1, fragments))
    written = [f"{k}: {'$' if isinstance(v, str) else ''}{v}" for k, v in arguments.items()]
    given = f"({', '.join(written)})" if written else ""
    # Fields of one key must be alike: the key says parent, name and arguments.
    digest = "_".join([parent, name, *(str(v).replace("-", "m") for v in arguments.values())])
    must = bool(arguments) or (parent, name) in PAGED or name in ("tags", "thing", "any")
    alias = digest if must or draw(st.booleans()) else None
    text = f"{f'{alias}: ' if alias else ''}{name}{given}{braced(inside) if inside else ''}"
    return Written(text, parent, name, alias, arguments, inside=inside)


@st.composite
def documents(draw: st.DrawFn, kind: str = "query") -> RandomDocument:
    """A valid document of one operation with up to three fragments, each spread or not."""
    fragments: dict[str, tuple[str, list[Written]]] = {}
    types: dict[str, str] = {}
    for name in NAMES[: draw(st.integers(0, 3))]:
        on = draw(st.sampled_from(["Owner", "Thing", "Tag", "Book", "ThingConnection", "Query"]))
        fragments[name] = (on, draw(selections(on, 3, types)))
        types[name] = on
    root = {"query": "Query", "mutation": "Mutation"}[kind]
    operation = draw(selections(root, 5, types))
    defaults = {name: draw(st.integers(0, 4)) for name in VARIABLES if draw(st.booleans())}
    values = st.one_of(st.integers(0, 5), st.none())
    variables = {name: draw(values) for name in VARIABLES if draw(st.booleans())}
    declared = [
        f"${name}: Int{f' = {defaults[name]}' if name in defaults else ''}" for name in VARIABLES
    ]
    parts = [f"{kind} ({', '.join(declared)}) {braced(operation)}"]
    parts += [f"fragment {name} on {on} {braced(it)}" for name, (on, it) in fragments.items()]
    return RandomDocument("\n".join(parts), kind, operation, fragments, variables, defaults)


def braced(inside: list[Written]) -> str:
    """A selection set."""
    return "{ " + " ".join(item.text for item in inside) + " }"


def possible(kind: str) -> list[str]:
    """The types that a fragment on a type may be for."""
    return [kind, *POSSIBLE.get(kind, [])] if kind != "Any" else POSSIBLE["Any"]


def fits(parent: str, on: str) -> bool:
    """True if a fragment on one type may be spread on another."""
    return on in possible(parent)
