"""Which servers are compared, and how each is asked."""

import json
from dataclasses import dataclass
from pathlib import Path

from bench.home import node
from bench.home.serving import Kind, python, uvicorn

HERE = Path(__file__).parent
GRAPHQL = "/graphql"
UNCACHED = {"LINLI_ANSWER_CACHE_MB": "0"}


def _body(document: Path) -> str:
    return json.dumps({"query": document.read_text(), "operationName": "Home"})


BODY = _body(HERE / "home.graphql")
LINLI = Kind("Linli", python("cli.main", "serve"), GRAPHQL, BODY, UNCACHED)
LINLI_CACHED = Kind("Linli, answers cached", python("cli.main", "serve"), GRAPHQL, BODY)
STOCK = Kind("Strawberry, stock, on FastAPI", uvicorn("bench.home.stock:app"), GRAPHQL, BODY)
REST = Kind("REST by hand, FastAPI", uvicorn("bench.home.rest:fastapi_app"), "/home", None)
REST_PLAIN = Kind("REST by hand, Starlette", uvicorn("bench.home.rest:plain_app"), "/home", None)
FLOOR = Kind("one statement of JSON", uvicorn("bench.home.rest:plain_app"), "/floor", None)


@dataclass(frozen=True, slots=True)
class Case:
    """A server under a load: of members drawn from all, or from few again and again."""

    kind: Kind
    hot: bool

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return f"{self.kind.name}, hot members" if self.hot else self.kind.name


def peers(place: Path) -> list[Kind]:
    """The peers on Node, installed at `place`."""
    program = str(node.binary())
    own = _body(place / "postgraphile.graphql")
    return [
        Kind("PostGraphile 5", (program, str(place / "postgraphile.mjs")), GRAPHQL, own),
        Kind("Mercurius 16, JIT", (program, str(place / "mercurius.mjs")), GRAPHQL, BODY),
    ]


def cases(on_node: list[Kind], only: list[str] | None) -> list[Case]:
    """What takes turns; `only` keeps those whose name holds one of the words."""
    everyone = [LINLI, *on_node, REST, REST_PLAIN, FLOOR, STOCK]
    hot = [LINLI_CACHED, *on_node, REST]
    every = [*(Case(kind, False) for kind in everyone), *(Case(kind, True) for kind in hot)]
    words = [word.lower() for word in only or ()]
    return [case for case in every if not words or any(word in case.name.lower() for word in words)]
