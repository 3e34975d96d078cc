"""Texts in documents that PostgreSQL could not store."""

import pytest

from tests.conftest import Api


@pytest.mark.parametrize("text", [r"\u0000", r"\u{0}", r"a\u{0000}b"])
async def test_a_text_with_nul_in_a_document_is_the_clients_mistake(api: Api, text: str) -> None:
    document = f"""mutation {{
      staffLogin(input: {{ login: "{text}", password: "x" }}) {{ __typename }} }}"""
    [error] = (await api(document))["errors"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert "NUL" in error["message"]
