"""Later parts of claimed packs: given when their day comes or the coupon before them is used."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, text, tuple_

from app import coupons
from app.gifts.events import PackPartGiven, PackPartLapsed
from app.gifts.giving import give
from app.gifts.offers import unpromise
from app.gifts.tables import PackItem, PackPart, PartState
from app.kernel.db import Tx
from app.members import MemberStatus, by_id

# A paused batch and a frozen member may come back; they are looked at again after so long.
PAUSE = timedelta(hours=1)
FROZEN = timedelta(days=1)
BATCH = 500
# All that wait are looked at for each batch of those that lapse.
LAPSING = 5_000

_REDEEMED = text(
    """
    UPDATE pack_part p SET unlocks_at = :now
    FROM pack_part prev JOIN coupon c ON c.member_id = prev.member_id AND c.id = prev.coupon_id
    WHERE p.state = 'LOCKED' AND p.unlocks_at IS NULL
      AND (CAST(:member_id AS uuid) IS NULL OR p.member_id = :member_id)
      AND prev.member_id = p.member_id AND prev.claim_id = p.claim_id
      AND prev.position = p.position - 1 AND c.state = 'REDEEMED'
    """
)
# What waits for a coupon that nobody will ever redeem.
_HOPELESS = text(
    """
    SELECT p.member_id, p.claim_id, p.position
    FROM pack_part p
    JOIN pack_part prev ON prev.member_id = p.member_id AND prev.claim_id = p.claim_id
                       AND prev.position = p.position - 1
    LEFT JOIN coupon c ON c.member_id = prev.member_id AND c.id = prev.coupon_id
    WHERE p.state = 'LOCKED' AND p.unlocks_at IS NULL
      AND (prev.state = 'LAPSED' OR c.state IN ('EXPIRED', 'REVOKED', 'RETURNED'))
    ORDER BY p.member_id, p.claim_id, p.position
    LIMIT :most FOR UPDATE OF p SKIP LOCKED
    """
)

Due = tuple[PackPart, PackItem]
_ITEM = (PackItem.pack_id == PackPart.pack_id) & (PackItem.position == PackPart.position)


async def unlock_due(
    tx: Tx, *, member_id: UUID | None = None, most: int = BATCH, look_for_used: bool = True
) -> int:
    """Give the parts that are due, of one member or of all; answers how many were looked at.

    Call it again until it answers 0. Parts of frozen members and of paused batches wait; those of
    closed accounts, and coupons that the member has too many of, lapse and go back to their batch.
    `look_for_used=False` leaves parts that wait for a coupon's use: of all members they are many,
    and need be looked at once, not before each batch.
    """
    if look_for_used:
        await tx.session.execute(_REDEEMED, {"now": tx.now, "member_id": member_id})
    query = (
        select(PackPart, PackItem)
        .join(PackItem, _ITEM)
        .where(PackPart.state == PartState.LOCKED, PackPart.unlocks_at <= tx.now)
        .order_by(PackPart.unlocks_at, PackPart.member_id, PackPart.claim_id, PackPart.position)
        .limit(most)
        .with_for_update(of=PackPart, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if member_id is not None:
        query = query.where(PackPart.member_id == member_id)
    due: list[Due] = [(row[0], row[1]) for row in await tx.session.execute(query)]
    ready = await _of_active(tx, due)
    await _give_coupons(tx, [one for one in ready if one[1].batch_id is not None])
    others = [one for one in ready if one[1].batch_id is None]
    for part, item in sorted(others, key=_in_lock_order):
        await give(tx, item, part)
        _tell(tx, part)
    return len(due)


def _in_lock_order(due: Due) -> tuple[bool, UUID, UUID]:
    """Gifts before points, as every command locks them."""
    part, item = due
    return item.offer_id is None, item.offer_id or part.member_id, part.member_id


async def lapse_hopeless(tx: Tx, *, most: int = LAPSING) -> int:
    """End parts that wait for a coupon nobody will use any more; answers how many.

    That is one which expired or was revoked, or whose order came to nothing so soon that its use
    was never seen.
    Call it again until it answers 0: a part after one that lapsed lapses in its turn.
    """
    keys = [tuple(key) for key in await tx.session.execute(_HOPELESS, {"most": most})]
    if keys:
        await lapse(tx, await _by_key(tx, keys))
    return len(keys)


async def _by_key(tx: Tx, keys: Sequence[tuple[object, ...]]) -> list[Due]:
    key = PackPart.member_id, PackPart.claim_id, PackPart.position
    rows = await tx.session.execute(
        select(PackPart, PackItem)
        .join(PackItem, _ITEM)
        .where(tuple_(*key).in_(keys))
        .order_by(*key)
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1]) for row in rows]


async def _of_active(tx: Tx, due: Sequence[Due]) -> list[Due]:
    """The parts of members who take part; the others wait or lapse."""
    members = await by_id(tx, {part.member_id for part, _ in due}) if due else {}
    ready: list[Due] = []
    closed: list[Due] = []
    for part, item in due:
        status = members[part.member_id].status
        if status is MemberStatus.ACTIVE:
            ready.append((part, item))
        elif status is MemberStatus.FROZEN:
            part.unlocks_at = tx.now + FROZEN
        else:
            closed.append((part, item))
    await lapse(tx, closed)
    return ready


async def _give_coupons(tx: Tx, due: Sequence[Due]) -> None:
    by_batch: dict[UUID, dict[UUID, Due]] = defaultdict(dict)
    for part, item in due:
        if item.batch_id is not None:
            # Of two of one member the second is left to the next call.
            by_batch[item.batch_id].setdefault(part.member_id, (part, item))
    for batch_id in sorted(by_batch):
        await _give_of_batch(tx, batch_id, by_batch[batch_id])


async def _give_of_batch(tx: Tx, batch_id: UUID, due: dict[UUID, Due]) -> None:
    try:
        grants = await coupons.grant_set_aside(
            tx,
            batch_id=batch_id,
            member_ids=list(due),
            at_most=len(due),
            source=coupons.Source.PACK,
            source_id=next(iter(due.values()))[0].pack_id,
        )
    except coupons.BatchNotActive:
        for part, _ in due.values():
            part.unlocks_at = tx.now + PAUSE
        return
    except coupons.ValidityOver:
        await lapse(tx, list(due.values()))
        return
    for member_id, coupon_id in grants.granted.items():
        part, _ = due[member_id]
        part.coupon_id, part.state, part.ended_at = coupon_id, PartState.GIVEN, tx.now
        _tell(tx, part)
    await tx.session.flush()
    if grants.granted:
        await coupons.settle_aside(tx, batch_id=batch_id, taken=len(grants.granted), returned=0)
    await lapse(tx, [due[member_id] for member_id in grants.at_limit])


async def lapse(tx: Tx, due: Sequence[Due]) -> None:
    """End parts and give back what was set aside for them, in the order of all commands' locks."""
    batches: dict[UUID, int] = defaultdict(int)
    offers: dict[UUID, int] = defaultdict(int)
    for part, item in due:
        part.state, part.ended_at = PartState.LAPSED, tx.now
        if item.batch_id is not None:
            batches[item.batch_id] += 1
        elif item.offer_id is not None:
            offers[item.offer_id] += 1
        tx.emit(
            PackPartLapsed(member_id=part.member_id, claim_id=part.claim_id, position=part.position)
        )
    await tx.session.flush()
    for batch_id in sorted(batches):
        await coupons.settle_aside(tx, batch_id=batch_id, taken=0, returned=batches[batch_id])
    for offer_id in sorted(offers):
        await unpromise(tx, offer_id=offer_id, units=offers[offer_id])


def _tell(tx: Tx, part: PackPart) -> None:
    tx.emit(PackPartGiven(member_id=part.member_id, claim_id=part.claim_id, position=part.position))
