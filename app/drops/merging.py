"""Bringing the claims of two accounts of one person together."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from app import coupons
from app.drops.commands import announce, locked_drops
from app.drops.events import DropReturned
from app.drops.rules import LIVE
from app.kernel.db import Tx

_BOTH = text(
    """
    SELECT drop_id, f.coupon_id AS from_coupon, i.coupon_id AS into_coupon,
           f.claimed_at > i.claimed_at AS from_is_later
    FROM drop_claim AS f JOIN drop_claim AS i USING (drop_id)
    WHERE f.member_id = :from_id AND i.member_id = :into_id ORDER BY drop_id
    """
)
_DROP_CLAIMS = text(
    """
    DELETE FROM drop_claim AS c
    USING unnest(CAST(:drops AS uuid[]), CAST(:coupons AS uuid[])) AS l(drop_id, coupon_id)
    WHERE c.member_id IN (:from_id, :into_id)
      AND c.drop_id = l.drop_id AND c.coupon_id = l.coupon_id
    """
)
_MOVE_CLAIMS = text("UPDATE drop_claim SET member_id = :into_id WHERE member_id = :from_id")
_MOVE_GUESTS = text(
    """
    INSERT INTO drop_guest (member_id, drop_id)
    SELECT :into_id, drop_id FROM drop_guest WHERE member_id = :from_id
    ON CONFLICT DO NOTHING
    """
)
_DROP_GUESTS = text("DELETE FROM drop_guest WHERE member_id = :from_id")


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    """Give one member's claims to another who is the same person; of two in a drop the later stays.

    The earlier one's coupon is revoked if it is unused, whoever of the two holds it by now. While
    the drop takes claims it goes back into its stock, afterwards its money to the batch. Doing it
    again changes nothing.
    """
    await tx.session.flush()
    both = {"from_id": from_id, "into_id": into_id}
    doubled = (await tx.session.execute(_BOTH, both)).all()
    if doubled:
        await _keep_the_later(tx, doubled, from_id, into_id)
    await tx.session.execute(_MOVE_CLAIMS, both)
    await tx.session.execute(_MOVE_GUESTS, both)
    await tx.session.execute(_DROP_GUESTS, {"from_id": from_id})


async def _keep_the_later(
    tx: Tx, doubled: Sequence[Row[Any]], from_id: UUID, into_id: UUID
) -> None:
    lost = {
        row.drop_id: row.into_coupon if row.from_is_later else row.from_coupon for row in doubled
    }
    held = await locked_drops(tx, list(lost))
    live = {drop.id for drop in held if drop.state in LIVE}
    returned: set[UUID] = set()
    for release in (False, True):
        coupon_ids = [coupon for drop, coupon in lost.items() if (drop not in live) is release]
        keys = [(one, coupon) for one in (from_id, into_id) for coupon in coupon_ids]
        revoked = await coupons.revoke_coupons(tx, keys, release=release)
        returned |= set() if release else revoked
    for drop in held:
        if lost[drop.id] in returned:
            drop.claimed -= 1
            announce(tx, drop, DropReturned)
    await tx.session.flush()
    gone = {"drops": list(lost), "coupons": list(lost.values())}
    await tx.session.execute(_DROP_CLAIMS, {"from_id": from_id, "into_id": into_id, **gone})
