"""Access tokens: JWT signed with HS256, 15 minutes, keys rotated by `kid`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from app.kernel.auth.callers import Caller, MemberCaller, Role, StaffCaller
from app.kernel.config import Settings, parse_keys

LIFETIME = timedelta(minutes=15)
ISSUER = "linli"


class BadToken(Exception):
    """The token is malformed, of an unknown key, altered or expired."""


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The ring of signing keys; the first signs."""

    ring: dict[str, bytes]

    @classmethod
    def from_settings(cls, settings: Settings) -> "TokenKeys":
        """The ring of this installation."""
        return cls(parse_keys(settings.token_keys.get_secret_value()))

    def sign(self, caller: MemberCaller | StaffCaller, now: datetime) -> str:
        """An access token for the caller, good for 15 minutes."""
        kid, key = next(iter(self.ring.items()))
        claims = {
            "iss": ISSUER,
            "sub": str(caller.id),
            "sid": str(caller.session_id),
            "role": caller.role.value if isinstance(caller, StaffCaller) else "MEMBER",
            "iat": int(now.timestamp()),
            "exp": int((now + LIFETIME).timestamp()),
        }
        return jwt.encode({"alg": "HS256", "kid": kid}, claims, OctKey.import_key(key))

    def verify(self, token: str, now: datetime) -> Caller:
        """Who the token speaks for.

        Raises BadToken.
        """
        claims = self._claims(token)
        try:
            if claims["iss"] != ISSUER or int(claims["exp"]) <= now.timestamp():
                raise BadToken("expired or of another issuer")
            subject, session = UUID(claims["sub"]), UUID(claims["sid"])
            role = str(claims["role"])
            if role == "MEMBER":
                return MemberCaller(subject, session)
            return StaffCaller(subject, session, Role(role))
        except (KeyError, ValueError, TypeError) as error:
            raise BadToken("claims are missing or malformed") from error

    def _claims(self, token: str) -> dict[str, str]:
        for key in self.ring.values():
            try:
                return jwt.decode(token, OctKey.import_key(key), algorithms=["HS256"]).claims
            except (JoseError, ValueError):
                continue
        raise BadToken("not signed by a key of ours")
