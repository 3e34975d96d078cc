"""Access tokens: the first key signs, all verify, and what no key of the ring signed is nothing."""

import base64
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kernel.auth import BadToken, MemberCaller, Role, StaffCaller, TokenKeys
from tests.conftest import NOON

OLD, NEW = b"o" * 32, b"n" * 32
MEMBER = MemberCaller(uuid4(), uuid4())


def kid_of(token: str) -> str:
    header = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def test_keys_rotate_without_anybody_signing_in_again() -> None:
    first = TokenKeys({"k1": OLD})
    token = first.sign(MEMBER, NOON)
    learning, turned = TokenKeys({"k1": OLD, "k2": NEW}), TokenKeys({"k2": NEW, "k1": OLD})
    assert kid_of(learning.sign(MEMBER, NOON)) == "k1"
    fresh = turned.sign(MEMBER, NOON)
    assert kid_of(fresh) == "k2"
    for ring in (learning, turned):
        assert ring.verify(token, NOON) == ring.verify(fresh, NOON) == MEMBER
    done = TokenKeys({"k2": NEW})
    assert done.verify(fresh, NOON) == MEMBER
    with pytest.raises(BadToken):
        done.verify(token, NOON)


def test_a_key_counts_under_its_own_name_only() -> None:
    token = TokenKeys({"k1": OLD}).sign(MEMBER, NOON)
    with pytest.raises(BadToken):
        TokenKeys({"k1": NEW, "k2": OLD}).verify(token, NOON)


def test_callers_come_back_as_they_went() -> None:
    ring = TokenKeys({"k1": OLD})
    leader = StaffCaller(uuid4(), uuid4(), Role.LEADER, uuid4())
    owner = StaffCaller(uuid4(), uuid4(), Role.OWNER)
    for caller in (MEMBER, leader, owner):
        bearer = ring.read(ring.sign(caller, NOON), NOON)
        assert bearer.caller == caller
        assert bearer.expires_at == NOON + timedelta(minutes=15)


def test_a_token_ends_at_its_instant() -> None:
    ring = TokenKeys({"k1": OLD})
    token = ring.sign(MEMBER, NOON)
    assert ring.verify(token, NOON + timedelta(minutes=15, seconds=-1)) == MEMBER
    with pytest.raises(BadToken):
        ring.verify(token, NOON + timedelta(minutes=15))


def unsigned(**header: object) -> str:
    """The claims of a good token under another header, signed by nobody."""
    claims = TokenKeys({"k1": OLD}).sign(MEMBER, NOON).split(".")[1]
    text = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{text}.{claims}."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "\ud800.b.c",
        unsigned(alg="none"),
        unsigned(alg="none", kid="k1"),
        unsigned(alg="HS256", kid="k1"),
        unsigned(alg="HS256", kid=["k1"]),
        unsigned(alg="HS256", kid=None),
        unsigned(alg="HS512", kid="k1"),
        "x" * 100_000,
        base64.urlsafe_b64encode(b"[" * 1_400).decode().rstrip("=") + ".e30.e30",
    ],
)
def test_what_no_key_signed_is_nothing(token: str) -> None:
    with pytest.raises(BadToken):
        TokenKeys({"k1": OLD}).verify(token, NOON)


@given(st.integers(0, 2**32), st.integers(1, 255))
def test_an_altered_token_is_nothing(place: int, change: int) -> None:
    ring = TokenKeys({"k1": OLD})
    parts = ring.sign(MEMBER, NOON).split(".")
    which = place % 3
    raw = bytearray(base64.urlsafe_b64decode(parts[which] + "=" * (-len(parts[which]) % 4)))
    raw[place % len(raw)] ^= change
    parts[which] = base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
    with pytest.raises(BadToken):
        ring.verify(".".join(parts), NOON)
