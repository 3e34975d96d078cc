"""The documents say what is: settings, versions, verbs, paths and GraphQL that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from graphql import GraphQLError, parse, validate

from app import __version__
from app.kernel.config import PREFIX, Settings
from cli.main import build
from schema import build_schema

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
# `linli` at the beginning of a command: of a line or span, after a prompt, settings or a path.
COMMAND = re.compile(r"(?:^|[\s$;&|(])(?:\.venv/bin/|docker compose run --rm )?linli +([a-z].*)$")
OPTIONAL_ENVIRONMENT = {"LINLI_STAFF_PASSWORD", "LINLI_REAL_DATA"}


def read(path: Path | str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def names_of_settings() -> set[str]:
    return {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("document", [".env.example", "docs/operations.md"])
def test_every_setting_is_named_and_none_that_is_not(document: str) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", read(document)))
    assert named - OPTIONAL_ENVIRONMENT == names_of_settings()


def test_the_example_environment_shows_the_defaults() -> None:
    shown = dict(re.findall(rf"^# {PREFIX}([A-Z_]+)=(.*)$", read(".env.example"), re.MULTILINE))
    assert {PREFIX + name for name in shown} == names_of_settings()
    given = {name.lower(): value for name, value in shown.items() if value}
    plain = Settings(_env_file=None, **given)  # pyright: ignore[reportCallIssue]
    unset = Settings.model_construct()
    for name in given:
        assert getattr(plain, name) == getattr(unset, name), name


def test_the_table_of_settings_shows_the_defaults() -> None:
    rows = re.findall(
        rf"^\| `{PREFIX}([A-Z_]+)` \| .*? \| `([^`]*)` \|", read("docs/operations.md"), re.MULTILINE
    )
    assert len(rows) > 10
    given = {name.lower(): value for name, value in rows}
    plain = Settings(_env_file=None, **given)  # pyright: ignore[reportCallIssue]
    unset = Settings.model_construct()
    for name in given:
        assert getattr(plain, name) == getattr(unset, name), name


def test_the_compose_file_sets_only_settings_there_are() -> None:
    named = set(re.findall(rf"^ +({PREFIX}[A-Z_]+):", read("compose.yaml"), re.MULTILINE))
    assert {"LINLI_DATABASE_URL", "LINLI_REDIS_URL"} <= named <= names_of_settings()


def test_the_changes_name_this_version() -> None:
    assert re.search(rf"^## {re.escape(__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)


def code_of(document: Path) -> Iterator[str]:
    """Each line of fenced blocks that are no GraphQL, and each span of code."""
    text = document.read_text(encoding="utf-8")
    for language, block in FENCE.findall(text):
        if language != "graphql":
            yield from block.replace("\\\n", " ").splitlines()
    yield from SPAN.findall(FENCE.sub("", text))


def commands() -> list[tuple[str, str]]:
    return [
        (document.relative_to(ROOT).as_posix(), match.group(1))
        for document in DOCUMENTS
        for line in code_of(document)
        if (match := COMMAND.search(line))
    ]


def words_of(text: str) -> list[str]:
    """A command's words up to a comment, a pipe or a redirection."""
    words = shlex.split(text, comments=True)
    ends = [at for at, word in enumerate(words) if word in {"|", ">", ">>", "&&", "||", ";", "&"}]
    return words[: ends[0]] if ends else words


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command line: an unknown verb or option."""
    # Typer brings a copy of click, so its groups are known by what they hold.
    command: Any = typer.main.get_command(build())
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        found = command.commands.get(words[0])
        if found is None:
            return f"no verb {words[0]}"
        command, words = found, words[1:]
    known = {name for item in command.params for name in [*item.opts, *item.secondary_opts]}
    known.add("--help")
    strange = [word for word in words if re.match(r"--?[a-z]", word)]
    unknown = [word for word in strange if word.partition("=")[0] not in known]
    return f"no option {unknown[0]}" if unknown else None


def test_every_verb_in_the_documents_exists() -> None:
    found = commands()
    assert len({words_of(text)[0] for _, text in found}) >= 10, "the search finds too little"
    wrong = [
        f"{document}: linli {text}: {said}"
        for document, text in found
        if (said := complaint(words_of(text)))
    ]
    assert not wrong


def test_every_verb_is_in_the_documents() -> None:
    told = {words_of(text)[0] for _, text in commands()}
    verbs: Any = typer.main.get_command(build())
    shown = {name for name, verb in verbs.commands.items() if not verb.hidden}
    assert shown - told == set()


def test_every_path_of_the_map_exists() -> None:
    block = next(text for _, text in FENCE.findall(read("README.md")) if "kernel/" in text)
    folder = ROOT
    missing: list[str] = []
    for line in block.splitlines():
        base = folder if line.startswith(" ") else ROOT
        names = re.match(r" *((?:[\w.]+/? )+)", line + " ")
        assert names is not None, line
        # The first word is a path; further ones only as long as they are folders.
        for place, name in enumerate(names.group(1).split()):
            if place and not name.endswith("/"):
                break
            if not (base / name).exists():
                missing.append(f"{base.relative_to(ROOT)}/{name}")
            if not line.startswith(" "):
                folder = ROOT / name
    assert not missing


def graphql_blocks() -> list[tuple[str, str]]:
    return [
        (document.relative_to(ROOT).as_posix(), block)
        for document in DOCUMENTS
        for language, block in FENCE.findall(document.read_text(encoding="utf-8"))
        if language == "graphql"
    ]


def test_every_graphql_text_in_the_documents_fits_the_schema() -> None:
    blocks = graphql_blocks()
    assert {"README.md", "docs/graphql.md"} <= {document for document, _ in blocks}
    wrong: list[str] = []
    for document, text in blocks:
        try:
            errors = validate(build_schema()._schema, parse(text))
        except GraphQLError as error:
            errors = [error]
        wrong += [f"{document}: {error.message}" for error in errors]
    assert not wrong
