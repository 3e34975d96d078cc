"""Many claims of one drop in one statement: what `claim_once` does for one, for all that wait.

The statement (`app/drops/statement.py`) is one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from asyncpg import Connection
from sqlalchemy import select

from app import coupons
from app.drops.errors import (
    AlreadyClaimed,
    DropNotFound,
    NotInAudience,
    NotOpen,
    NotYetYours,
    SoldOut,
)
from app.drops.events import drop_topic
from app.drops.queries import by_id, windows_by_drop
from app.drops.rules import Window, early_at
from app.drops.statement import CONDITIONAL, FREE, LOCK, Outcome
from app.kernel.db import Read
from app.kernel.errors import IdempotencyKeyReused, Refusal
from app.kernel.ids import uuid7
from app.kernel.outbox import encode
from app.members import Community, MemberNotActive

_NOBODY = UUID(int=0)


UNDECIDED = frozenset({Outcome.STALE, Outcome.RIVALLED, Outcome.NEW_TERMS})
TOO_LATE = frozenset({Outcome.TOO_LATE, Outcome.EARLY_GONE})
REFUSALS: Mapping[str, type[Refusal]] = {
    Outcome.TOO_LATE: SoldOut,
    **{
        refusal.code: refusal
        for refusal in (
            IdempotencyKeyReused,
            DropNotFound,
            MemberNotActive,
            AlreadyClaimed,
            SoldOut,
            NotOpen,
            NotInAudience,
            coupons.CouponLimitReached,
        )
    },
}
# These name an instant, which stands in place of the answer.
WAITS = frozenset({NotYetYours.code, Outcome.EARLY_GONE})


@dataclass(frozen=True, slots=True)
class Asked:
    """One member's claim under an idempotency key, with the digest of its input."""

    member_id: UUID
    key: str
    digest: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the statement said of a claim; `answer` is the key's, or the instant to come again."""

    outcome: str
    coupon_id: UUID | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What hardly ever changes about a drop, and the zones of the communities known then.

    `conditional` if anything but the community decides who may claim, or from when on.
    """

    drop_id: UUID
    template: coupons.Template
    batch: coupons.Batch
    zones: frozenset[str]
    windows: tuple[Window, ...]
    conditional: bool
    # The number of the drop's terms when they were read.
    number: int


async def terms_of(read: Read, drop_id: UUID) -> Terms | None:
    """The terms of a drop; None if there is no such drop."""
    drop = (await by_id(read, [drop_id])).get(drop_id)
    if drop is None:
        return None
    batch = (await coupons.batches_by_id(read, [drop.batch_id]))[drop.batch_id]
    template = (await coupons.templates_by_id(read, [batch.template_id]))[batch.template_id]
    zones = await read.session.scalars(select(Community.time_zone).distinct())
    windows = (await windows_by_drop(read, [drop_id])).get(drop_id, ())
    conditional = drop.min_rank is not None or drop.guests_only or drop.early_opens_at is not None
    return Terms(
        drop_id, template, batch, frozenset(zones), tuple(windows), conditional, drop.terms
    )


async def serve(
    connection: Connection,
    drop_id: UUID,
    terms: Terms | None,
    asked: Sequence[Asked],
    *,
    now: datetime,
    locked: bool,
) -> list[Told]:
    """Serve claims of different members in the order given; committed when this returns.

    `connection` is in no transaction. `locked` takes the drop's row in a statement before: three
    round trips more, but the outcome is never STALE. Raises asyncpg's errors; then nothing was
    written, or the connection broke at the end and asking again under the same keys tells.
    """
    statement, arguments = FREE, _arguments(drop_id, terms, asked, now)
    if terms is not None and terms.conditional:
        statement, arguments = CONDITIONAL, [*arguments, *_early(terms, now)]
    if locked:
        async with connection.transaction():
            await connection.execute(LOCK, drop_id)
            rows = await connection.fetch(statement, *arguments)
    else:
        rows = await connection.fetch(statement, *arguments)
    return [Told(*row) for row in rows]


def _arguments(
    drop_id: UUID, terms: Terms | None, asked: Sequence[Asked], now: datetime
) -> list[object]:
    count = len(asked)
    coded = terms is not None and terms.batch.code_mode is coupons.CodeMode.UNIQUE
    # Ids of one instant differ by chance only; sorted, they keep the order of the facts. A coupon
    # is granted once, so that the fact of it can have the coupon's own id.
    ids = sorted(uuid7(now) for _ in range(count + 2))
    try:
        windows = [] if terms is None else _windows(terms, now)
        valid = True
    except coupons.ValidityOver:
        windows, valid = [], False
    return [
        drop_id,
        now,
        [item.member_id for item in asked],
        [item.key for item in asked],
        [item.digest for item in asked],
        ids[:count],
        [coupons.new_code() if coded else None for _ in asked],
        [window[0] for window in windows],
        [window[1] for window in windows],
        [window[2] for window in windows],
        [window[3] for window in windows],
        valid,
        now.isoformat(),
        ids[count],
        ids[count + 1],
        drop_topic(drop_id),
        0 if terms is None else terms.number,
    ]


def _early(terms: Terms, now: datetime) -> list[object]:
    """The rank that early access asks for by now, and how many it may have taken in all."""
    early = early_at(terms.windows, now)
    return [None, 0] if early is None else [early.rank, early.stock]


def _windows(terms: Terms, now: datetime) -> list[tuple[str, datetime, datetime, str]]:
    """By zone: the interval in which its members can redeem, and what the fact tells alike."""
    windows: list[tuple[str, datetime, datetime, str]] = []
    for zone in terms.zones:
        usable_from, expires_at = coupons.validity_window(terms.template, at=now, zone=zone)
        fact = coupons.CouponGranted(
            member_id=_NOBODY,
            coupon_id=_NOBODY,
            batch_id=terms.batch.id,
            name=terms.template.name,
            usable_from=usable_from,
            expires_at=expires_at,
        )
        windows.append((zone, usable_from, expires_at, orjson.dumps(encode(fact)).decode()))
    return windows
