"""Giving coupons to members, many at once."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import any_, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from app.coupons.batches import capacity, exhaust_if_empty, locked_batch
from app.coupons.errors import BatchNotActive, BatchNotFound
from app.coupons.events import CouponGranted
from app.coupons.persons import note_persons, persons_of
from app.coupons.rules import validity_window
from app.coupons.tables import Batch, BatchState, CodeMode, CouponState, Source, Template
from app.kernel.db import Tx
from app.members import Community, Member, MemberStatus

# No I, L, O or U: read aloud and typed at a till without doubt (Crockford's base 32).
CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 13
# Which letter a random byte stands for; 256 is a multiple of 32, so that none is likelier.
_LETTERS = (CODE_ALPHABET * 8).encode()


class Shortage(StrEnum):
    """Why a batch could not serve everyone."""

    QUANTITY = "QUANTITY"
    BUDGET = "BUDGET"


@dataclass(slots=True)
class Grants:
    """What became of a request for coupons, member by member."""

    # Member -> coupon.
    granted: dict[UUID, UUID] = field(default_factory=dict[UUID, UUID])
    # Already have as many as one member may have.
    at_limit: set[UUID] = field(default_factory=set[UUID])
    # Frozen, closed or unknown.
    not_active: set[UUID] = field(default_factory=set[UUID])
    # In turn, but there were no coupons left for them.
    unserved: list[UUID] = field(default_factory=list[UUID])
    shortage: Shortage | None = None


async def grant(
    tx: Tx,
    *,
    batch_id: UUID,
    member_ids: Sequence[UUID],
    source: Source,
    source_id: UUID | None = None,
) -> Grants:
    """Give each member one coupon of the batch, in the order given, as far as the batch reaches.

    Members who are not active or have reached the template's limit are passed over. Quantity and
    budget are never exceeded. Raises BatchNotFound, BatchNotActive, ValidityOver.
    """
    batch = await locked_batch(tx, batch_id)
    if batch.state is not BatchState.ACTIVE:
        raise BatchNotActive(state=batch.state)
    template = await tx.session.get_one(Template, batch.template_id)
    most = capacity(batch, template.max_discount_fen)
    grants = await _hand_out(tx, template, batch, member_ids, most, source, source_id)
    batch.granted += len(grants.granted)
    batch.reserved_fen += len(grants.granted) * template.max_discount_fen
    if grants.unserved:
        full = batch.granted + batch.set_aside >= batch.quantity
        grants.shortage = Shortage.QUANTITY if full else Shortage.BUDGET
    exhaust_if_empty(batch)
    await tx.session.flush()
    return grants


async def grant_set_aside(
    tx: Tx,
    *,
    batch_id: UUID,
    member_ids: Sequence[UUID],
    at_most: int,
    source: Source,
    source_id: UUID,
) -> Grants:
    """Give out coupons that were set aside, in the order given; the batch's row is not touched.

    The caller keeps count of what it was promised and settles later (`settle_aside`). Raises
    BatchNotFound, BatchNotActive, ValidityOver.
    """
    batch = await tx.session.get(Batch, batch_id)
    if batch is None:
        raise BatchNotFound()
    if batch.state is not BatchState.ACTIVE:
        raise BatchNotActive(state=batch.state)
    template = await tx.session.get_one(Template, batch.template_id)
    return await _hand_out(tx, template, batch, member_ids, at_most, source, source_id)


async def _hand_out(
    tx: Tx,
    template: Template,
    batch: Batch,
    member_ids: Sequence[UUID],
    at_most: int,
    source: Source,
    source_id: UUID | None,
) -> Grants:
    zones = await _zones(tx, member_ids)
    windows = {
        zone: validity_window(template, at=tx.now, zone=zone) for zone in set(zones.values())
    }
    grants = Grants(not_active={member_id for member_id in member_ids if member_id not in zones})
    turn = [member_id for member_id in dict.fromkeys(member_ids) if member_id in zones]
    persons = None
    if template.per_identity is not None:
        persons = await persons_of(tx, template, turn)
        fit = persons.fitting(turn)
        grants.at_limit |= set(turn).difference(fit)
        turn = fit
    while turn and len(grants.granted) < at_most:
        room = at_most - len(grants.granted)
        now, turn = turn[:room], turn[room:]
        rows = [_row(tx, batch, member_id, windows[zones[member_id]]) for member_id in now]
        given, at_limit = await _insert(tx, template, batch, rows, source, source_id)
        grants.granted |= given
        grants.at_limit |= at_limit
    grants.unserved = turn
    if persons is not None:
        await note_persons(tx, persons, grants.granted)
    for member_id, coupon_id in grants.granted.items():
        usable_from, expires_at = windows[zones[member_id]]
        tx.emit(
            CouponGranted(
                member_id=member_id,
                coupon_id=coupon_id,
                batch_id=batch.id,
                name=template.name,
                usable_from=usable_from,
                expires_at=expires_at,
            )
        )
    return grants


async def _zones(tx: Tx, member_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The zone in which each active member's business days run; others are absent."""
    rows = await tx.session.execute(
        select(Member.id, Community.time_zone)
        .join(Community, Community.id == Member.community_id)
        # One array, however many they are: a parameter for each would take longer than the rest.
        .where(
            Member.id == any_(literal(list(member_ids), ARRAY(Uuid()))),
            Member.status == MemberStatus.ACTIVE,
        )
    )
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True, slots=True)
class _Row:
    member_id: UUID
    coupon_id: UUID
    code: str | None
    state: CouponState
    usable_from: datetime
    expires_at: datetime


def _row(tx: Tx, batch: Batch, member_id: UUID, window: tuple[datetime, datetime]) -> _Row:
    usable_from, expires_at = window
    return _Row(
        member_id=member_id,
        coupon_id=tx.new_id(),
        code=new_code() if batch.code_mode is CodeMode.UNIQUE else None,
        state=CouponState.WAITING if usable_from > tx.now else CouponState.ACTIVE,
        usable_from=usable_from,
        expires_at=expires_at,
    )


def new_code() -> str:
    """A coupon's code: 65 random bits that cannot be guessed."""
    return secrets.token_bytes(CODE_LENGTH).translate(_LETTERS).decode()


# Rows go in by member, so that two grants of one template that race wait for each other in the
# same order. A row that met a rival's number is neither granted nor at its limit: it tries again.
# Nothing is joined: the planner takes `given` for one row, and would compare each with each.
_INSERT = text(
    """
    WITH asked AS (
        SELECT a.member_id, a.id, a.code, a.state, a.usable_from, a.expires_at,
               1 + coalesce(
                   (SELECT max(c.nth) FROM coupon c
                    WHERE c.member_id = a.member_id AND c.template_id = :template_id), 0) AS nth
        FROM unnest(
            CAST(:member_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:codes AS text[]),
            CAST(:states AS text[]), CAST(:usable_from AS timestamptz[]),
            CAST(:expires_at AS timestamptz[])
        ) AS a(member_id, id, code, state, usable_from, expires_at)
    ), given AS (
        INSERT INTO coupon (member_id, id, batch_id, template_id, nth, source, source_id, state,
                            code, usable_from, expires_at, granted_at)
        SELECT member_id, id, :batch_id, :template_id, nth, :source, :source_id, state,
               code, usable_from, expires_at, :now
        FROM asked WHERE nth <= :per_member
        ORDER BY member_id
        ON CONFLICT (member_id, template_id, nth) DO NOTHING
        RETURNING member_id, id
    )
    SELECT member_id, id FROM given
    UNION ALL SELECT member_id, NULL FROM asked WHERE nth > :per_member
    """
)


async def _insert(
    tx: Tx,
    template: Template,
    batch: Batch,
    rows: Sequence[_Row],
    source: Source,
    source_id: UUID | None,
) -> tuple[dict[UUID, UUID], set[UUID]]:
    """Store the rows; answers member -> coupon, and the members at their limit."""
    given: dict[UUID, UUID] = {}
    at_limit: set[UUID] = set()
    left = {row.member_id: row for row in rows}
    while left:
        found = await tx.session.execute(
            _INSERT,
            {
                "template_id": template.id,
                "batch_id": batch.id,
                "per_member": template.per_member,
                "source": source,
                "source_id": source_id,
                "now": tx.now,
                "member_ids": list(left),
                "ids": [row.coupon_id for row in left.values()],
                "codes": [row.code for row in left.values()],
                "states": [row.state for row in left.values()],
                "usable_from": [row.usable_from for row in left.values()],
                "expires_at": [row.expires_at for row in left.values()],
            },
        )
        coupon_of = {row.member_id: row.id for row in found}
        for member_id in left:
            coupon_id = coupon_of.get(member_id)
            if coupon_id is not None:
                given[member_id] = coupon_id
            elif member_id in coupon_of:
                at_limit.add(member_id)
        left = {
            member_id: row
            for member_id, row in left.items()
            if member_id not in given and member_id not in at_limit
        }
    return given, at_limit
