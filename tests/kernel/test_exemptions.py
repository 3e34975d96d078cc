"""Who is exempt from the rate limits: what may be written, and what is refused."""

from uuid import UUID

import pytest

from app.kernel.config import BadSettings, load_settings
from app.kernel.exemptions import Exemptions, parse_exemptions
from schema.nodes import global_id

KEY = UUID("0198c0de-0000-7000-8000-000000000001")


def test_callers_by_id_and_name_and_networks() -> None:
    found = parse_exemptions(
        f"member:{KEY}, staff:{KEY.hex.upper()},staff:Owner,partner:order system ,"
        "address:127.0.0.1,10.1.0.0/16,address:2001:db8::/32,::1,"
    )
    assert found.callers == {f"member:{KEY}", f"staff:{KEY}"}
    assert found.logins == {"owner"}
    assert found.keys == {"order system"}
    covered = ["127.0.0.1", "10.1.255.3", "2001:db8::7", "::1", "::ffff:127.0.0.1"]
    assert all(found.covers(address) for address in covered)
    others = ["127.0.0.2", "10.2.0.1", "2001:db9::7", "testclient", ""]
    assert not any(found.covers(address) for address in others)


def test_ids_as_graphql_answers_them() -> None:
    found = parse_exemptions(f"member:{global_id('Member', KEY)}")
    assert found.callers == {f"member:{KEY}"}


def test_nobody() -> None:
    assert parse_exemptions("") == parse_exemptions(" , ,") == Exemptions()
    assert not Exemptions().covers("127.0.0.1")


@pytest.mark.parametrize(
    "text",
    [
        "owner",
        "member:",
        "member:lihua",
        "staff:",
        "robot:7",
        "address:somewhere",
        "address:10.0.0.0/33",
        "address:",
        f"member:{KEY};staff:owner",
    ],
)
def test_what_names_nobody_ends_the_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="names nobody"):
        parse_exemptions(f"staff:owner,{text}")
    monkeypatch.setenv("LINLI_RATE_LIMIT_EXEMPT", text)
    with pytest.raises(BadSettings, match=r"^LINLI_RATE_LIMIT_EXEMPT: .* names nobody"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RATE_LIMIT_MAXIMUM": "0"}, "LINLI_RATE_LIMIT_MAXIMUM: .* greater than or equal to 100"),
        ({"RATE_LIMIT_RESTORE": "0"}, "LINLI_RATE_LIMIT_RESTORE: .* greater than or equal to 1"),
        ({"RATE_LIMIT_RESTORE": "nan"}, "LINLI_RATE_LIMIT_RESTORE: .* valid integer"),
        ({"RATE_LIMIT_MAXIMUM": "1e99"}, "LINLI_RATE_LIMIT_MAXIMUM: .* valid integer"),
        ({"RATE_LIMIT_MAXIMUM": "9" * 12}, "LINLI_RATE_LIMIT_MAXIMUM: .* less than or equal"),
        (
            {"RATE_LIMIT_MAXIMUM": "500"},
            "LINLI_RATE_LIMIT_RESTORE must not be above LINLI_RATE_LIMIT_MAXIMUM, 500",
        ),
        (
            {"RATE_LIMIT_MAXIMUM": "2000000"},
            "LINLI_RATE_LIMIT_ADDRESS_MAXIMUM must not be below LINLI_RATE_LIMIT_MAXIMUM, 2000000",
        ),
        (
            {"RATE_LIMIT_ADDRESS_RESTORE": "2000000"},
            "RATE_LIMIT_ADDRESS_RESTORE must not be above LINLI_RATE_LIMIT_ADDRESS_MAXIMUM",
        ),
    ],
)
def test_absurd_rates_end_the_start(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"LINLI_{name}", value)
    with pytest.raises(BadSettings, match=said):
        load_settings()
