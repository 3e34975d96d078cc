"""What counts as a phone number, and how one-time codes are made and judged."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from app.kernel.clock import DEFAULT_ZONE, end_of_validity

CODE_LIFETIME = timedelta(minutes=5)
CODE_TRIES = 5
CODE_PAUSE = timedelta(minutes=1)

_PHONE = re.compile(r"\+?[0-9]{6,15}", re.ASCII)
_MAINLAND_MOBILE = re.compile(r"1[3-9][0-9]{9}", re.ASCII)


def normal_phone(text: str) -> str | None:
    """The phone number in E.164 form, or None if it is none; mainland mobiles need no prefix.

    >>> normal_phone("138 0013 8000"), normal_phone("+44 20 7946 0000"), normal_phone("abc")
    ('+8613800138000', '+442079460000', None)
    """
    compact = re.sub(r"[\s()-]", "", text)
    if _MAINLAND_MOBILE.fullmatch(compact):
        return "+86" + compact
    if _PHONE.fullmatch(compact) and compact.startswith("+"):
        return compact
    return None


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(1_000_000):06d}"


def code_digest(blind: str, code: str) -> str:
    """The stored form of a code, bound to the phone it was sent to."""
    return hashlib.sha256(f"{blind}\0{code}".encode(errors="surrogatepass")).hexdigest()


MAX_NICKNAME = 32


def nickname_or(given: str | None, fallback: str) -> str:
    """The nickname a person gave, trimmed to what fits, or a fallback where they gave none.

    >>> nickname_or("  李 阿姨 ", "新邻居"), nickname_or(" ", "新邻居")
    ('李 阿姨', '新邻居')
    """
    text = "".join(ch for ch in given or "" if ch.isprintable()).strip()
    return text[:MAX_NICKNAME] or fallback


# Business days in which closing an account can be taken back, the day it was asked for being the
# first; the setting `closing_grace_days` of a community says otherwise.
CLOSING_GRACE_DAYS = 7
MOST_CLOSING_GRACE_DAYS = 60
# How long someone has for saying yes after they proved both identities.
OFFER_LIFETIME = timedelta(minutes=10)
LONGEST_REASON = 200
MERGED_NICKNAME = "已合并会员"
CLOSED_NICKNAME = "已注销会员"


def closing_at(
    asked: datetime, settings: Mapping[str, object], zone: str = DEFAULT_ZONE
) -> datetime:
    """When an account whose closing is asked for now will be erased, exclusive, in UTC.

    >>> from datetime import UTC
    >>> closing_at(datetime(2026, 3, 1, 6, tzinfo=UTC), {}).isoformat()
    '2026-03-07T16:00:00+00:00'
    >>> closing_at(datetime(2026, 3, 1, 6, tzinfo=UTC), {"closing_grace_days": 1}).isoformat()
    '2026-03-01T16:00:00+00:00'
    """
    days = settings.get("closing_grace_days", CLOSING_GRACE_DAYS)
    return end_of_validity(asked, days if isinstance(days, int) and days > 0 else 1, zone)
