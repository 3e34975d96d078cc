"""Personal fields: sealed, found by blind index, rotated, and refused when altered."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kernel.crypto import Unreadable, Vault

OLD, NEW, INDEX = os.urandom(32), os.urandom(32), os.urandom(32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXTS)
def test_what_is_sealed_opens_again_and_never_looks_alike(value: str) -> None:
    vault = Vault({"a": OLD}, INDEX)
    sealed = vault.seal("phone", value)
    assert vault.open("phone", sealed) == value
    assert vault.seal("phone", value) != sealed


def test_old_values_open_after_rotation_and_are_known_as_old() -> None:
    sealed = Vault({"a": OLD}, INDEX).seal("phone", "+8610000000001")
    rotated = Vault({"b": NEW, "a": OLD}, INDEX)
    assert rotated.open("phone", sealed) == "+8610000000001"
    assert rotated.needs_rotation(sealed)
    assert not rotated.needs_rotation(rotated.seal("phone", "x"))
    with pytest.raises(Unreadable):
        Vault({"b": NEW}, INDEX).open("phone", sealed)


def test_altered_or_misplaced_values_do_not_open() -> None:
    vault = Vault({"a": OLD}, INDEX)
    sealed = vault.seal("phone", "+8610000000001")
    body = bytearray(base64.b64decode(sealed.partition(":")[2]))
    body[-1] ^= 1
    for broken in ("a:" + base64.b64encode(body).decode(), "a:", "a:!!!", "nonsense", ""):
        with pytest.raises(Unreadable):
            vault.open("phone", broken)
    with pytest.raises(Unreadable):
        vault.open("openid", sealed)


def test_the_blind_index_depends_on_key_and_field() -> None:
    vault = Vault({"a": OLD}, INDEX)
    assert vault.blind("phone", " 1 ") == vault.blind("phone", "1")
    assert vault.blind("phone", "1") != vault.blind("openid", "1")
    assert vault.blind("phone", "1") != Vault({"a": OLD}, NEW).blind("phone", "1")
