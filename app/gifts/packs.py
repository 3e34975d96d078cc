"""Packs: made, opened with everything set aside, claimed whole or not at all, closed."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from app import coupons
from app.gifts.errors import (
    GiftNotFound,
    PackAlreadyClaimed,
    PackForReturning,
    PackMoveNotAllowed,
    PackNotFound,
    PackNotOpen,
    PackSoldOut,
)
from app.gifts.events import PackClaimed
from app.gifts.giving import give
from app.gifts.offers import promise, unpromise
from app.gifts.queries import items_by_pack, offers_by_id
from app.gifts.rules import MAX_STOCK, ItemDraft, check_items, unlocks_at
from app.gifts.tables import (
    Pack,
    PackClaim,
    PackItem,
    PackOnce,
    PackPart,
    PackState,
    PartState,
    Unlock,
)
from app.kernel.db import Tx
from app.kernel.numbers import check_within
from app.kernel.text import checked_text
from app.members import require_active, zone_of

LONGEST_TITLE = 60


async def create_pack(
    tx: Tx,
    *,
    title: str,
    stock: int,
    once: PackOnce,
    items: Sequence[ItemDraft],
    by: UUID | None = None,
) -> Pack:
    """Draft a pack of these things; nothing is set aside before it is opened.

    Raises InvalidInput, coupons.BatchNotFound, GiftNotFound.
    """
    title = checked_text(title, field="title", longest=LONGEST_TITLE)
    check_within(stock, 1, MAX_STOCK, field="stock")
    check_items(items)
    batches = {item.batch_id for item in items if item.batch_id is not None}
    if batches - set(await coupons.batches_by_id(tx, batches)):
        raise coupons.BatchNotFound()
    await _check_offers(tx, items)
    pack = Pack(
        id=tx.new_id(),
        title=title,
        state=PackState.DRAFT,
        once=once,
        stock=stock,
        claimed=0,
        created_by=by,
        created_at=tx.now,
    )
    tx.session.add(pack)
    await tx.session.flush()
    tx.session.add_all(_item(pack.id, place, item) for place, item in enumerate(items, start=1))
    await tx.session.flush()
    return pack


async def _check_offers(tx: Tx, items: Sequence[ItemDraft]) -> None:
    offers = {item.offer_id for item in items if item.offer_id is not None}
    if offers - set(await offers_by_id(tx, offers)):
        raise GiftNotFound()


def _item(pack_id: UUID, position: int, item: ItemDraft) -> PackItem:
    return PackItem(
        pack_id=pack_id,
        position=position,
        unlock=item.unlock,
        day=item.day,
        batch_id=item.batch_id,
        points=item.points,
        offer_id=item.offer_id,
    )


async def open_pack(tx: Tx, *, pack_id: UUID) -> Pack:
    """Give a drafted pack out from now on; the coupons and gifts of all of them are set aside.

    Raises PackNotFound, PackMoveNotAllowed, coupons.BatchNotActive, coupons.BatchTooSmall,
    GiftOutOfStock.
    """
    pack = await _locked(tx, pack_id)
    if pack.state is not PackState.DRAFT:
        raise PackMoveNotAllowed(state=pack.state, to=PackState.OPEN)
    for item in await _in_lock_order(tx, pack_id):
        if item.batch_id is not None:
            await coupons.set_aside(tx, batch_id=item.batch_id, quantity=pack.stock)
        elif item.offer_id is not None:
            await promise(tx, offer_id=item.offer_id, units=pack.stock)
    pack.state, pack.opened_at = PackState.OPEN, tx.now
    await tx.session.flush()
    return pack


async def close_pack(tx: Tx, *, pack_id: UUID) -> Pack:
    """Give a pack out no more; what nobody claimed goes back, claimed parts go on unlocking.

    Raises PackNotFound, PackMoveNotAllowed.
    """
    pack = await _locked(tx, pack_id)
    if pack.state is PackState.CLOSED:
        raise PackMoveNotAllowed(state=pack.state, to=PackState.CLOSED)
    left = pack.stock - pack.claimed
    if pack.state is PackState.OPEN and left:
        for item in await _in_lock_order(tx, pack_id):
            if item.batch_id is not None:
                await coupons.settle_aside(tx, batch_id=item.batch_id, taken=0, returned=left)
            elif item.offer_id is not None:
                await unpromise(tx, offer_id=item.offer_id, units=left)
    pack.state, pack.closed_at = PackState.CLOSED, tx.now
    await tx.session.flush()
    return pack


async def claim_pack(
    tx: Tx, *, pack_id: UUID, member_id: UUID, episode_id: UUID | None
) -> PackClaim:
    """Give a member a pack: all that is due at once is given, or nothing and no claim.

    `episode_id` is the member's open silence, if there is one: a pack PER_EPISODE is for those
    whom it brings back, once each time. Raises PackNotFound, PackNotOpen, PackAlreadyClaimed,
    PackForReturning, PackSoldOut, MemberNotFound, MemberNotActive, coupons.CouponLimitReached.
    """
    pack = await _locked(tx, pack_id)
    await require_active(tx, member_id)
    once_for = pack.id if pack.once is PackOnce.EVER else episode_id
    if once_for is not None and await _claimed(tx, pack, member_id, once_for):
        raise PackAlreadyClaimed()
    if pack.state is not PackState.OPEN:
        raise PackNotOpen(state=pack.state)
    if once_for is None:
        raise PackForReturning()
    if pack.claimed >= pack.stock:
        raise PackSoldOut()
    pack.claimed += 1
    claim = PackClaim(
        member_id=member_id, id=tx.new_id(), pack_id=pack_id, once_for=once_for, claimed_at=tx.now
    )
    tx.session.add(claim)
    await tx.session.flush()
    await _lay_out(tx, claim)
    tx.emit(PackClaimed(member_id=member_id, claim_id=claim.id, pack_id=pack_id, title=pack.title))
    return claim


async def _claimed(tx: Tx, pack: Pack, member_id: UUID, once_for: UUID) -> bool:
    found = select(PackClaim.id).where(
        PackClaim.member_id == member_id,
        PackClaim.pack_id == pack.id,
        PackClaim.once_for == once_for,
    )
    return await tx.session.scalar(found) is not None


async def _lay_out(tx: Tx, claim: PackClaim) -> None:
    zone = await zone_of(tx, claim.member_id)
    items = await _in_lock_order(tx, claim.pack_id)
    parts = {
        item.position: PackPart(
            member_id=claim.member_id,
            claim_id=claim.id,
            position=item.position,
            pack_id=claim.pack_id,
            state=PartState.LOCKED,
            unlocks_at=unlocks_at(item.unlock, item.day, claimed_at=tx.now, zone=zone),
            ended_at=None,
            coupon_id=None,
            hold_id=None,
        )
        for item in items
    }
    tx.session.add_all(parts.values())
    await tx.session.flush()
    for item in items:
        if item.unlock is Unlock.AT_ONCE:
            await _give_now(tx, item, parts[item.position])


async def _give_now(tx: Tx, item: PackItem, part: PackPart) -> None:
    try:
        lacking = await give(tx, item, part)
    except coupons.BatchNotActive as refusal:
        raise PackNotOpen(state=refusal.facts["state"]) from None
    except coupons.ValidityOver:
        raise PackNotOpen(state=coupons.CouponState.EXPIRED) from None
    if lacking:
        # The transaction ends with this, and with it the claim and every other part.
        raise coupons.CouponLimitReached()


async def _in_lock_order(tx: Tx, pack_id: UUID) -> list[PackItem]:
    """A pack's things as every command locks what stands behind them: batches, gifts, points."""
    items = (await items_by_pack(tx, [pack_id])).get(pack_id, [])
    nothing = UUID(int=0)
    return sorted(
        items,
        key=lambda item: (
            (item.batch_id is None) + (item.points is not None),
            item.batch_id or item.offer_id or nothing,
            item.position,
        ),
    )


async def _locked(tx: Tx, pack_id: UUID) -> Pack:
    pack = await tx.session.scalar(
        select(Pack)
        .where(Pack.id == pack_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if pack is None:
        raise PackNotFound()
    return pack
