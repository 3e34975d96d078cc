"""Packs, gifts and birthdays of two members who are one person."""

from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.orm import aliased

from app.gifts.events import GiftFreed
from app.gifts.offers import locked_offer
from app.gifts.tables import (
    GiftHold,
    GiftOffer,
    HoldState,
    PackClaim,
    PackItem,
    PackPart,
    PartState,
)
from app.gifts.unlocking import lapse
from app.kernel.db import Tx

_MOVES = (
    "UPDATE pack_claim SET member_id = :into_id WHERE member_id = :from_id",
    "UPDATE gift_hold SET member_id = :into_id WHERE member_id = :from_id",
    # Of two gifts of one occasion and cycle the latest is kept on record.
    """
    DELETE FROM occasion_grant g USING occasion_grant h
    WHERE g.member_id IN (:from_id, :into_id) AND h.member_id IN (:from_id, :into_id)
      AND g.member_id <> h.member_id AND g.occasion = h.occasion AND g.cycle = h.cycle
      AND (g.granted_at, g.member_id) < (h.granted_at, h.member_id)
    """,
    "UPDATE occasion_grant SET member_id = :into_id WHERE member_id = :from_id",
    # Who changed a birthday under either account has changed it.
    """
    DELETE FROM birthday_change WHERE member_id = :from_id
      AND EXISTS (SELECT FROM birthday_change WHERE member_id = :into_id)
    """,
    "UPDATE birthday_change SET member_id = :into_id WHERE member_id = :from_id",
)


async def merge(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    """Give one member's packs, gifts and occasions to another who is the same person.

    Where both claimed a pack, or hold a gift of one cycle, one is kept, the latest: of the other
    pack what was given stays with the person and what is locked lapses, the other hold is let go.
    What was taken with an order stays taken. Doing it again changes nothing.
    """
    await tx.session.flush()
    await _one_hold_each(tx, from_id, into_id)
    await _one_claim_each(tx, from_id, into_id)
    for statement in _MOVES:
        await tx.session.execute(text(statement), {"from_id": from_id, "into_id": into_id})
    # What this session holds of them has another key now.
    tx.session.expire_all()


async def _one_claim_each(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    mine, theirs = aliased(PackClaim), aliased(PackClaim)
    doubled = await tx.session.execute(
        select(mine, theirs)
        .join(theirs, (theirs.pack_id == mine.pack_id) & (theirs.once_for == mine.once_for))
        .where(mine.member_id == into_id, theirs.member_id == from_id)
        .order_by(mine.id)
        .with_for_update()
    )
    for own, other in doubled.all():
        earlier = min((own, other), key=lambda claim: (claim.claimed_at, claim.id))
        of_earlier = (PackPart.member_id == earlier.member_id) & (PackPart.claim_id == earlier.id)
        locked = await tx.session.execute(
            select(PackPart, PackItem)
            .join(
                PackItem,
                (PackItem.pack_id == PackPart.pack_id) & (PackItem.position == PackPart.position),
            )
            .where(of_earlier, PackPart.state == PartState.LOCKED)
            .with_for_update(of=PackPart)
        )
        await lapse(tx, [(row[0], row[1]) for row in locked])
        # Its parts go with it.
        await tx.session.execute(
            delete(PackClaim)
            .where(PackClaim.member_id == earlier.member_id, PackClaim.id == earlier.id)
            .execution_options(synchronize_session=False)
        )


async def _one_hold_each(tx: Tx, from_id: UUID, into_id: UUID) -> None:
    counts = (HoldState.HELD, HoldState.TAKEN)
    mine, theirs = aliased(GiftHold), aliased(GiftHold)
    offers = await tx.session.scalars(
        select(mine.offer_id)
        .join(theirs, (theirs.offer_id == mine.offer_id) & (theirs.cycle == mine.cycle))
        .where(
            mine.member_id == into_id,
            theirs.member_id == from_id,
            mine.state.in_(counts),
            theirs.state.in_(counts),
        )
        .distinct()
        .order_by(mine.offer_id)
    )
    for offer_id in offers.all():
        offer = await locked_offer(tx, offer_id)
        rows = await tx.session.scalars(
            select(GiftHold)
            .where(
                GiftHold.member_id.in_((from_id, into_id)),
                GiftHold.offer_id == offer_id,
                GiftHold.state.in_(counts),
            )
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        by_cycle: dict[str, list[GiftHold]] = {}
        for hold in rows:
            by_cycle.setdefault(hold.cycle, []).append(hold)
        for alike in by_cycle.values():
            # One taken comes before one held, then the latest.
            alike.sort(key=lambda hold: (hold.state is HoldState.TAKEN, hold.held_at, hold.id))
            for hold in alike[:-1]:
                _give_up(tx, offer, hold, into_id)
        await tx.session.flush()


def _give_up(tx: Tx, offer: GiftOffer, hold: GiftHold, into_id: UUID) -> None:
    if hold.state is HoldState.TAKEN:
        # Both went with orders: the earlier stays as a fact outside the cycle.
        hold.cycle = f"{hold.cycle} merged {hold.id}"
        return
    hold.state, hold.ended_at = HoldState.RELEASED, tx.now
    offer.held -= 1
    state = hold.state.value
    tx.emit(GiftFreed(member_id=into_id, hold_id=hold.id, offer_id=offer.id, state=state))
