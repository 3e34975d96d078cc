"""Personal fields at rest: AES-256-GCM under a rotatable key ring, and a keyed blind index.

A sealed value is `kid:base64(nonce || ciphertext)`; the field's name is authenticated with it, so
that a sealed phone cannot be passed off as a sealed openid. The blind index is HMAC-SHA256 over the
normalised value, so that equal values can be found without being read.
"""

import base64
import hmac
import os
from dataclasses import dataclass
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

    @classmethod
    def from_settings(cls, settings: Settings) -> "Vault":
        """The vault of this installation."""
        ring = parse_keys(settings.crypto_keys.get_secret_value())
        index = parse_keys(settings.index_key.get_secret_value())
        return cls(ring, next(iter(index.values())))

    def seal(self, field: str, value: str) -> str:
        """Encrypt under the first key of the ring."""
        kid, key = next(iter(self.keys.items()))
        nonce = os.urandom(12)
        body = nonce + AESGCM(key).encrypt(nonce, value.encode(), field.encode())
        return f"{kid}:{base64.b64encode(body).decode()}"

    def open(self, field: str, sealed: str) -> str:
        """Decrypt under whichever key sealed it.

        Raises Unreadable.
        """
        kid, _, encoded = sealed.partition(":")
        key = self.keys.get(kid)
        if key is None:
            raise Unreadable(f"no key {kid!r} in the ring")
        try:
            body = base64.b64decode(encoded, validate=True)
            return AESGCM(key).decrypt(body[:12], body[12:], field.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise Unreadable(f"the value of {field} was altered") from error

    def needs_rotation(self, sealed: str) -> bool:
        """True if an older key than the ring's first sealed it."""
        return sealed.partition(":")[0] != next(iter(self.keys))

    def blind(self, field: str, value: str) -> str:
        """The keyed fingerprint under which equal values are found."""
        text = f"{field}\0{value.strip()}".encode()
        return hmac.new(self.index_key, text, sha256).hexdigest()
