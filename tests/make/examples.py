"""The documents under examples/graphql, operation by operation, as clients send them."""

from pathlib import Path

from graphql import OperationDefinitionNode, parse, print_ast

FOLDER = Path(__file__).parents[2] / "examples" / "graphql"


def operation(file: str, name: str) -> str:
    """The text of one operation of an example document."""
    for node in parse((FOLDER / file).read_text(encoding="utf-8")).definitions:
        if isinstance(node, OperationDefinitionNode) and node.name and node.name.value == name:
            return print_ast(node)
    raise LookupError(f"{file} has no operation {name}")
