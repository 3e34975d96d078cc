"""Builders of packs, gift offers and occasions' gifts."""

from uuid import UUID

from app import gifts
from app.gifts import GiftCycle, ItemDraft, PackOnce, Unlock
from app.kernel.db import Tx
from tests.make import coupons as make_coupons


async def offer(
    tx: Tx, *, stock: int = 10, cycle: GiftCycle = GiftCycle.EVER, sku: str = "EGGS"
) -> gifts.GiftOffer:
    """Eggs for one yuan, once ever, unless told otherwise."""
    return await gifts.create_offer(tx, title="一元鸡蛋", sku=sku, stock=stock, cycle=cycle)


async def pack(
    tx: Tx,
    *,
    items: list[ItemDraft] | None = None,
    stock: int = 10,
    once: PackOnce = PackOnce.EVER,
    opened: bool = True,
) -> gifts.Pack:
    """An open pack of a coupon, a second one on its redemption, and points on day 3."""
    if items is None:
        items = [
            await coupon_item(tx),
            await coupon_item(tx, unlock=Unlock.WHEN_PREVIOUS_REDEEMED),
            ItemDraft(Unlock.DAY_N, 3, points=50),
        ]
    made = await gifts.create_pack(tx, title="回归礼包", stock=stock, once=once, items=items)
    return await gifts.open_pack(tx, pack_id=made.id) if opened else made


async def coupon_item(
    tx: Tx, *, unlock: Unlock = Unlock.AT_ONCE, day: int | None = None, quantity: int = 100
) -> ItemDraft:
    """A coupon of a batch of its own."""
    made = await make_coupons.batch(tx, quantity=quantity)
    return ItemDraft(unlock, day, batch_id=made.id)


async def occasion_gift(
    tx: Tx,
    *,
    occasion: str = gifts.BIRTHDAY,
    tier_code: str | None = None,
    quantity: int = 1_000,
    per_member: int = 100,
) -> UUID:
    """Coupons of a batch of their own for an occasion; answers the batch."""
    template = await make_coupons.template(tx, per_member=per_member)
    batch = await make_coupons.batch(tx, template_id=template.id, quantity=quantity)
    await gifts.set_occasion_gift(tx, occasion=occasion, tier_code=tier_code, batch_id=batch.id)
    return batch.id
