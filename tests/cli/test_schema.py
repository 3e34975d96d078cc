"""`linli schema export` where it cannot write."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.schema import schema_app


@pytest.mark.parametrize("place", ["missing/schema.graphql", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    answer = CliRunner().invoke(schema_app, ["export", "-o", str(tmp_path / place)])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit)
    assert "Cannot write" in answer.output
