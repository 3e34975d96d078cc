"""Personal fields at rest: AES-256-GCM under a key ring, and a keyed blind index with another.

A sealed value is `kid:base64(nonce || ciphertext)`; the field's name is authenticated with it, so
that a sealed phone cannot be passed off as a sealed openid. The blind index is HMAC-SHA256 over the
normalised value, so that equal values can be found without being read. Both rings rotate: their
first key is for what is written, and what an older key made is read until `linli keys rotate` has
made it anew.
"""

import base64
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.kernel.config import Settings, parse_keys


class Unreadable(Exception):
    """A sealed value that no key of the ring opens: a key is missing or the value was altered."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals and opens personal fields, and makes their blind index."""

    keys: dict[str, bytes]
    index_key: bytes
    index_kid: str = "index"
    # Index keys from before, whose fingerprints are still looked for.
    older_index: Mapping[str, bytes] = field(default_factory=dict[str, bytes])

    @classmethod
    def from_settings(cls, settings: Settings) -> "Vault":
        """The vault of this installation."""
        ring = parse_keys(settings.crypto_keys.get_secret_value())
        index = parse_keys(settings.index_key.get_secret_value())
        (kid, key), *older = index.items()
        return cls(ring, key, kid, dict(older))

    @property
    def kid(self) -> str:
        """The key that seals what is written now."""
        return next(iter(self.keys))

    @property
    def index_kids(self) -> tuple[str, ...]:
        """Every key of the index, the one in force first."""
        return (self.index_kid, *self.older_index)

    def seal(self, field: str, value: str) -> str:
        """Encrypt under the first key of the ring."""
        body = self.seal_bytes(field, value.encode())
        return f"{self.kid}:{base64.b64encode(body).decode()}"

    def seal_bytes(self, field: str, value: bytes) -> bytes:
        """The same for bytes, without the key's name: keep `kid` beside them."""
        nonce = os.urandom(12)
        return nonce + AESGCM(self.keys[self.kid]).encrypt(nonce, value, field.encode())

    def open(self, field: str, sealed: str) -> str:
        """Decrypt under whichever key sealed it.

        Raises Unreadable.
        """
        kid, _, encoded = sealed.partition(":")
        try:
            body = base64.b64decode(encoded, validate=True)
            return self.open_bytes(field, kid, body).decode()
        except ValueError as error:
            raise Unreadable(f"the value of {field} was altered") from error

    def open_bytes(self, field: str, kid: str, body: bytes) -> bytes:
        """Decrypt what the key of this name sealed.

        Raises Unreadable.
        """
        key = self.keys.get(kid)
        if key is None:
            raise Unreadable(f"no key {kid!r} in the ring")
        try:
            return AESGCM(key).decrypt(body[:12], body[12:], field.encode())
        except (InvalidTag, ValueError) as error:
            raise Unreadable(f"the value of {field} was altered") from error

    def needs_rotation(self, sealed: str) -> bool:
        """True if an older key than the ring's first sealed it."""
        return sealed.partition(":")[0] != next(iter(self.keys))

    def blind(self, field: str, value: str) -> str:
        """The keyed fingerprint under which equal values are found, by the index key in force."""
        return _fingerprint(self.index_key, field, value)

    def blinds(self, field: str, value: str) -> list[str]:
        """The fingerprints by every key of the index, the one in force first.

        A value may be stored under any of them while the index key is being rotated.
        """
        older = [_fingerprint(key, field, value) for key in self.older_index.values()]
        return [self.blind(field, value), *older]


def _fingerprint(key: bytes, field: str, value: str) -> str:
    text = f"{field}\0{value.strip()}".encode()
    return hmac.new(key, text, sha256).hexdigest()
