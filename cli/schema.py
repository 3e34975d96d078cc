"""`linli schema`: the GraphQL schema as text, and manifests of the documents it is to answer."""

from pathlib import Path
from typing import Annotated

import typer

from cli.starting import SAYS

schema_app = typer.Typer(no_args_is_help=True, help="The GraphQL schema.")


@schema_app.callback()
def group() -> None:
    """The GraphQL schema."""


@schema_app.command()
def export(
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of printing.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Compare with this file and fail when it differs.")
    ] = None,
) -> None:
    """Print the schema in GraphQL's definition language."""
    from schema import build_schema

    text = build_schema().as_str().rstrip() + "\n"
    if check is not None:
        if not check.exists() or check.read_text(encoding="utf-8") != text:
            SAYS.print(f"{check} is not the schema in code; run `make schema`.", style="red")
            raise typer.Exit(1)
    elif file is not None:
        _write(file, text)
    else:
        print(text, end="")


@schema_app.command()
def trust(
    files: Annotated[list[Path], typer.Argument(help="GraphQL files, one document each.")],
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of printing.")
    ] = None,
) -> None:
    """Check documents against schema and limits, and write the manifest of them.

    `LINLI_TRUSTED_DOCUMENTS` names such a file. The text of a document is the whole file as it is.
    """
    from app.kernel.manifest import manifest_of

    texts: dict[Path, str] = {}
    wrong: list[str] = []
    for place in files:
        try:
            texts[place] = place.read_bytes().decode("utf-8")
        except OSError as error:
            wrong.append(f"Cannot read {place}: {error.strerror}.")
        except UnicodeDecodeError:
            wrong.append(f"{place} is not UTF-8.")
    wrong += [f"{place}: {said}" for place, text in texts.items() for said in _mistakes(text)]
    for line in wrong:
        SAYS.print(line, style="red", markup=False)
    if wrong:
        raise typer.Exit(1)
    manifest = manifest_of(texts.values())
    if file is None:
        print(manifest, end="")
    else:
        _write(file, manifest)


def _mistakes(text: str) -> list[str]:
    """Why the service would refuse a document."""
    from graphql import GraphQLError, validate

    from schema import build_schema
    from schema.engine.limits import measure, parsed

    schema = build_schema().core
    try:
        document = parsed(text)
    except GraphQLError as error:
        return [error.message]
    errors = measure(schema, document).errors or validate(schema, document)
    places = [f" (line {error.locations[0].line})" if error.locations else "" for error in errors]
    return [f"{error.message}{place}" for error, place in zip(errors, places, strict=True)]


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        SAYS.print(f"Cannot write {file}: {error.strerror}.", style="red")
        raise typer.Exit(1) from None
