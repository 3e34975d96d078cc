"""Settings from `LINLI_*` environment variables, checked once at start."""

import base64
import hashlib
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.kernel.exemptions import parse_exemptions
from app.kernel.redis_url import SCHEMES, is_cluster, seeds

PREFIX = "LINLI_"
# Passwords that manuals and examples use.
_KNOWN_PASSWORDS = frozenset(
    [
        *("admin", "changeme", "development", "example", "linli", "password"),
        *("postgres", "redis", "root", "secret", "test"),
    ]
)
DEVELOPMENT_APP = "wx-linli-development"
FAKE_WECHAT = "/dev/wechat"
DEVELOPMENT_KEYS = ("tokens", "personal data", "blind index")
LEAST_BYTES = 16
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+\Z")


def _development_key(purpose: str) -> str:
    """A well-known key, so that a fresh checkout runs; production refuses it."""
    digest = hashlib.sha256(f"linli development {purpose}".encode()).digest()
    return "dev:" + base64.b64encode(digest).decode()


class Settings(BaseSettings):
    """Everything that may differ between two installations of Linli."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore")

    env: Literal["development", "test", "production"] = "development"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    data_dir: Path = Path(".linli")
    database_url: str | None = None
    read_database_url: str | None = None
    redis_url: str | None = None
    pgbouncer: bool = False
    pool_size: Annotated[int, Field(ge=1, le=500)] = 10
    worker_threads: Annotated[int, Field(ge=1, le=64)] = 4
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    max_sockets: Annotated[int, Field(ge=0, le=1_000_000)] = 20_000
    max_sockets_per_caller: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    request_seconds: Annotated[float, Field(gt=0, le=600)] = 10
    max_concurrent: Annotated[int, Field(ge=1, le=10_000)] = 256
    cors_origins: str = ""
    trusted_proxies: str = ""
    rate_limit_maximum: Annotated[int, Field(ge=100, le=1_000_000_000)] = 50_000
    rate_limit_restore: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1_000
    rate_limit_address_maximum: Annotated[int, Field(ge=100, le=1_000_000_000)] = 1_000_000
    rate_limit_address_restore: Annotated[int, Field(ge=1, le=1_000_000_000)] = 50_000
    rate_limit_exempt: str = ""
    trusted_documents: Path | None = None
    trusted_documents_exempt_staff: bool = False
    time_zone: str = "Asia/Shanghai"
    answer_cache_mb: Annotated[int, Field(ge=0, le=65_536)] = 64
    answer_cache_seconds: Annotated[int, Field(ge=0, le=300)] = 5
    approve_alone: bool | None = None
    score_history_days: Annotated[int, Field(ge=300, le=3_650)] = 400
    demo_members: Annotated[int, Field(ge=0, le=1_000_000)] = 1_500

    token_keys: SecretStr = SecretStr(_development_key("tokens"))
    crypto_keys: SecretStr = SecretStr(_development_key("personal data"))
    index_key: SecretStr = SecretStr(_development_key("blind index"))

    wechat_base_url: str | None = None
    wechat_app_id: str = DEVELOPMENT_APP
    wechat_secret: SecretStr = SecretStr("development")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("must be an IANA time zone such as Asia/Shanghai") from error
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        origins = [part.strip() for part in value.split(",") if part.strip()]
        if not all(_ORIGIN.match(origin) for origin in origins):
            raise ValueError("must be origins like https://app.example.com, separated by commas")
        return ",".join(origins)

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: str) -> str:
        proxies = [part.strip() for part in value.split(",") if part.strip()]
        try:
            for proxy in proxies:
                if proxy != "*":
                    ip_network(proxy)
        except ValueError as error:
            raise ValueError(
                "must be addresses or networks like 10.0.0.0/8, separated by commas, or *"
            ) from error
        return ",".join(proxies)

    @field_validator("database_url", "read_database_url")
    @classmethod
    def _postgres(cls, value: str | None) -> str | None:
        if value and not value.startswith(
            ("postgresql://", "postgres://", "postgresql+asyncpg://")
        ):
            raise ValueError("must look like postgresql://user:password@host:5432/name")
        return value or None

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value and not value.startswith(SCHEMES):
            raise ValueError(
                "must look like redis://host:6379/0, or redis+cluster://host:6379 for a cluster"
            )
        if value and is_cluster(value):
            try:
                named = seeds(value)
            except ValueError:
                named = []
            # A cluster has one database, and no node without a name.
            if urlsplit(value).path.strip("/0") or not named or not all(host for host, _ in named):
                raise ValueError("must look like redis+cluster://host:6379,other:6379")
        return value or None

    @field_validator("rate_limit_exempt")
    @classmethod
    def _exempt(cls, value: str) -> str:
        parse_exemptions(value)
        return value

    @field_validator("trusted_documents", mode="before")
    @classmethod
    def _manifest(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _rates_that_fit(self) -> "Settings":
        for kind in ("", "address_"):
            maximum = getattr(self, f"rate_limit_{kind}maximum")
            if getattr(self, f"rate_limit_{kind}restore") > maximum:
                name = f"{PREFIX}RATE_LIMIT_{kind.upper()}"
                raise ValueError(f"{name}RESTORE must not be above {name}MAXIMUM, {maximum}")
        if self.rate_limit_address_maximum < self.rate_limit_maximum:
            raise ValueError(
                f"{PREFIX}RATE_LIMIT_ADDRESS_MAXIMUM must not be below {PREFIX}RATE_LIMIT_MAXIMUM, "
                f"{self.rate_limit_maximum}: one caller at an address would never get theirs"
            )
        return self

    @field_validator("token_keys", "crypto_keys", "index_key")
    @classmethod
    def _key_ring(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _no_development_secrets(self) -> "Settings":
        if self.env != "production":
            return self
        rings = ("token_keys", "crypto_keys", "index_key")
        weak = [
            f"{PREFIX}{name.upper()}"
            for name in rings
            if _has_known_key(getattr(self, name).get_secret_value())
        ]
        if _is_known(self.wechat_secret.get_secret_value()):
            weak.append(f"{PREFIX}WECHAT_SECRET")
        if not self.wechat_app_id.strip() or self.wechat_app_id == DEVELOPMENT_APP:
            weak.append(f"{PREFIX}WECHAT_APP_ID")
        if FAKE_WECHAT in (self.wechat_base_url or ""):
            # Whoever can reach it is signed in as whom they like.
            weak.append(f"{PREFIX}WECHAT_BASE_URL")
        weak += [
            f"{PREFIX}{name.upper()}"
            for name in ("database_url", "read_database_url", "redis_url")
            if _has_known_password(getattr(self, name))
        ]
        if weak:
            names = ", ".join(weak)
            raise ValueError(f"production needs secrets of its own for {names} 生产环境须自行设置")
        return self

    @property
    def origins(self) -> frozenset[str]:
        """The other origins whose pages may call the API from a browser."""
        return frozenset(self.cors_origins.split(",")) if self.cors_origins else frozenset()

    @property
    def may_approve_alone(self) -> bool:
        """Whether an OWNER may approve what they drafted; by default not in production."""
        return self.env != "production" if self.approve_alone is None else self.approve_alone

    # Not cached: copies of settings with another port would keep the old address.
    @property
    def wechat_url(self) -> str:
        """Where WeChat's interface is: in development the built-in fake one of this server."""
        if self.wechat_base_url:
            return self.wechat_base_url.rstrip("/")
        if self.env == "production":
            return "https://api.weixin.qq.com"
        return f"http://{self.host}:{self.port}{FAKE_WECHAT}"


def _has_known_password(url: str | None) -> bool:
    """True of an address with a password that manuals use; none at all may be a trusted socket."""
    password = urlsplit(url or "").password
    return password is not None and password.casefold() in _KNOWN_PASSWORDS


def _is_known(secret: str) -> bool:
    """True of a secret that is none: not set, or out of a manual."""
    return not secret.strip() or secret.strip().casefold() in _KNOWN_PASSWORDS


def _has_known_key(text: str) -> bool:
    """True of a ring with one of our development keys, whatever it is called, or a made-up key."""
    known = set[bytes]()
    for purpose in DEVELOPMENT_KEYS:
        known.update(parse_keys(_development_key(purpose)).values())
    ring = parse_keys(text)
    # Of 32 random bytes hardly ever fewer than 25 are different.
    return "dev" in ring or any(
        key in known or len(set(key)) < LEAST_BYTES for key in ring.values()
    )


def parse_keys(text: str) -> dict[str, bytes]:
    """Read a key ring `kid:base64,kid:base64`; the first is used for new values.

    Raises ValueError unless every key has 32 bytes and every kid is a short word.
    """
    ring: dict[str, bytes] = {}
    for part in text.split(","):
        kid, _, encoded = part.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if not kid.isalnum() or len(kid) > 16 or len(key) != 32:
            raise ValueError("must be kid:base64 of 32 bytes, several separated by commas")
        ring[kid] = key
    return ring


class BadSettings(Exception):
    """The environment holds values that Linli cannot run with; the text lists each one."""


def load_settings() -> Settings:
    """Read the environment (and `.env`).

    Raises BadSettings naming each variable and what it may be.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [_explain(dict(item)) for item in error.errors()]
        raise BadSettings("\n".join(lines)) from None


def _explain(item: dict[str, object]) -> str:
    location = item.get("loc")
    path = location if isinstance(location, tuple) else ()
    name = PREFIX + "_".join(str(part) for part in path).upper() if path else "LINLI_*"
    text = str(item.get("msg", "")).removeprefix("Value error, ")
    return f"{name}: {text}"
