"""The engine against graphql-core: generated schemas, documents, variables and worlds.

Both must answer the same text of `data`, the same errors at the same places, and run each root
resolver once. LINLI_DIFFERENTIAL_SCHEMAS sets how many schemas are tried, 32 if it is not set; a
failure names its seeds, and the same seeds make the same case anywhere.
"""

import os
import traceback
from random import Random

import pytest
from graphql import OperationType

from schema.engine import Engine, RequestRefused
from tests.schema.engine.answered_twice import (
    Asked,
    Tally,
    compare,
    show_errors_as_they_are,
    sweep,
    wide_engine,
)
from tests.schema.engine.queries_at_random import Document, Writer
from tests.schema.engine.schemas_at_random import Made, schema_at_random
from tests.schema.engine.values_at_random import Mode, World

SCHEMAS = int(os.environ.get("LINLI_DIFFERENTIAL_SCHEMAS", "32"))
# In one test: a failure in one leaves the others to be told.
TOGETHER = 4
DOCUMENTS = 18
MODES = [Mode.SOUND, Mode.SOUND, Mode.SOUND, Mode.ODD, Mode.FAULTY, Mode.FAULTY]
KINDS = [OperationType.QUERY] * 6 + [OperationType.MUTATION] * 2 + [OperationType.SUBSCRIPTION] * 2
SCALARS = {"Fen": lambda rng: rng.randrange(100), "Shout": lambda _: "x"}

# Where a field fails graphql-core leaves the coroutines of its siblings to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("first", range(0, SCHEMAS, TOGETHER))
async def test_engine_answers_as_graphql_core_does(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_errors_as_they_are(monkeypatch)
    tally = Tally()
    for seed in range(first, first + TOGETHER):
        made = schema_at_random(seed)
        engine = wide_engine(made)
        for number in range(DOCUMENTS):
            rng = Random(f"{seed}.{number}")
            document = document_at_random(engine, made, rng)
            if document is not None:
                for mode in MODES:
                    await one_case(engine, made, document, mode, rng, tally, f"{seed}.{number}")
    await sweep()
    assert not tally.failures, "\n\n".join(tally.failures[:5])
    # Else graphql-core was compared with itself.
    assert tally.cases > TOGETHER * DOCUMENTS * len(MODES) * 0.8
    assert tally.clean > tally.cases * 0.5
    assert tally.planned > tally.clean * 0.75
    # Besides conditions that are null, for which nothing is compiled.
    assert tally.sound_unplanned < tally.clean * 0.05
    assert tally.with_errors > tally.cases * 0.05
    assert tally.fallen_back > tally.cases * 0.05


def document_at_random(engine: Engine, made: Made, rng: Random) -> Document | None:
    """A valid document; seldom there is none, by rules that the writer does not know."""
    kind, seed = rng.choice(KINDS), rng.getrandbits(40)
    for is_careful in (False, True):
        writer = Writer(made.core, Random(seed), is_careful=is_careful, scalars=SCALARS)
        document = writer.document(kind)
        try:
            engine.documents.prepare(document.text)
        except RequestRefused:
            continue
        return document
    return None


async def one_case(
    engine: Engine,
    made: Made,
    document: Document,
    mode: Mode,
    rng: Random,
    tally: Tally,
    seeds: str,
) -> None:
    """Compare once, with variables and a world of their own."""
    asked = Asked(document.text, document.variables(rng))
    world = World(rng.getrandbits(40), mode)
    try:
        found = await compare(engine, made, asked, world, tally)
    except Exception:
        found = traceback.format_exc()
    if found:
        case = f"{seeds} in a world {mode} of {world.seed}"
        tally.failures.append(f"{case}\n{asked.text}\n{asked.variables}\n{found}")
