"""Which servers are compared, and how each is asked."""

import json
from pathlib import Path

from bench.home.serving import Kind, python, uvicorn

DOCUMENT = (Path(__file__).parent / "home.graphql").read_text()
BODY = json.dumps({"query": DOCUMENT, "operationName": "Home"})
UNCACHED = {"LINLI_ANSWER_CACHE_MB": "0"}

LINLI = Kind("Linli", python("cli.main", "serve"), "/graphql", BODY, UNCACHED)
LINLI_CACHED = Kind("Linli, answers cached", python("cli.main", "serve"), "/graphql", BODY)
REST = Kind("REST by hand, FastAPI", uvicorn("bench.home.rest:fastapi_app"), "/home", None)
REST_PLAIN = Kind("REST by hand, Starlette", uvicorn("bench.home.rest:plain_app"), "/home", None)
FLOOR = Kind("one statement of JSON", uvicorn("bench.home.rest:plain_app"), "/floor", None)

ALL = (LINLI, REST, REST_PLAIN, FLOOR)
NODE_PEERS: tuple[Kind, ...] = ()
# Asked for few members again and again, so that what is cached is met.
HOT = (LINLI_CACHED, REST, *NODE_PEERS)
