"""Access tokens: JWT signed with HS256, 15 minutes, keys rotated by `kid`."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import GuestProtocol, OctKey

from app.kernel.auth.callers import Caller, MemberCaller, Role, StaffCaller
from app.kernel.config import Settings, parse_keys

LIFETIME = timedelta(minutes=15)
# Ours have about 350 characters; what is longer is not worth decoding.
LONGEST = 2_048
ISSUER = "linli"


class BadToken(Exception):
    """The token is malformed, of an unknown key, altered or expired."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom an access token speaks for, and until when (exclusive)."""

    caller: MemberCaller | StaffCaller
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The ring of signing keys; the first signs, all verify."""

    ring: dict[str, bytes]
    _keys: dict[str, OctKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Import the keys once, not for each token."""
        keys = {kid: OctKey.import_key(key) for kid, key in self.ring.items()}
        object.__setattr__(self, "_keys", keys)

    @classmethod
    def from_settings(cls, settings: Settings) -> "TokenKeys":
        """The ring of this installation."""
        return cls(parse_keys(settings.token_keys.get_secret_value()))

    def sign(self, caller: MemberCaller | StaffCaller, now: datetime) -> str:
        """An access token for the caller, good for 15 minutes."""
        kid, key = next(iter(self._keys.items()))
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": str(caller.id),
            "sid": str(caller.session_id),
            "role": caller.role.value if isinstance(caller, StaffCaller) else "MEMBER",
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
        }
        if isinstance(caller, StaffCaller) and caller.community_id is not None:
            claims["com"] = str(caller.community_id)
        return jwt.encode({"alg": "HS256", "kid": kid}, claims, key)

    def verify(self, token: str, now: datetime) -> Caller:
        """Who the token speaks for.

        Raises BadToken.
        """
        return self.read(token, now).caller

    def read(self, token: str, now: datetime) -> Bearer:
        """Who the token speaks for, and until when.

        Raises BadToken.
        """
        claims = self._claims(token)
        try:
            expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
            if claims["iss"] != ISSUER or expires_at <= now:
                raise BadToken("expired or of another issuer")
            return Bearer(_caller_of(claims), expires_at)
        except (KeyError, ValueError, TypeError, OverflowError, OSError) as error:
            raise BadToken("claims are missing or malformed") from error

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > LONGEST:
            raise BadToken("longer than any of ours")
        try:
            return jwt.decode(token, self._key_of, algorithms=["HS256"]).claims
        except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadToken("not signed by a key of ours") from error

    def _key_of(self, token: GuestProtocol) -> OctKey:
        kid = token.headers().get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadToken("signed by a key that is not in the ring")
        return key


def _caller_of(claims: dict[str, Any]) -> MemberCaller | StaffCaller:
    subject, session, role = UUID(claims["sub"]), UUID(claims["sid"]), str(claims["role"])
    if role == "MEMBER":
        return MemberCaller(subject, session)
    community = claims.get("com")
    return StaffCaller(subject, session, Role(role), None if community is None else UUID(community))
