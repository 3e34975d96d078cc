"""Reads of packs, gifts, festivals and birthdays."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import func, select, tuple_

from app.gifts.calendars import FESTIVALS, Birthday, Festival, birthday_of, next_in_force
from app.gifts.tables import (
    BirthdayChange,
    FestivalRow,
    GiftHold,
    GiftOffer,
    HoldState,
    OccasionGift,
    Pack,
    PackClaim,
    PackItem,
    PackPart,
    PackState,
)
from app.kernel.clock import business_day
from app.kernel.db import Read
from app.members import Community, Member
from app.orders import OrderLine

MOST_FESTIVALS = 200


@dataclass(frozen=True, slots=True)
class MemberPage:
    """Which of a member's claims or holds: those after an id, newest first."""

    member_id: UUID
    first: int
    after: UUID | None = None


async def packs_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, Pack]:
    """Packs by id; unknown ids are absent."""
    rows = await read.session.scalars(select(Pack).where(Pack.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def items_by_pack(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[PackItem]]:
    """What each pack holds, in order."""
    found: dict[UUID, list[PackItem]] = defaultdict(list)
    for row in await read.session.scalars(
        select(PackItem).where(PackItem.pack_id.in_(list(keys))).order_by(PackItem.position)
    ):
        found[row.pack_id].append(row)
    return found


async def offers_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, GiftOffer]:
    """Gift offers by id; unknown ids are absent."""
    rows = await read.session.scalars(select(GiftOffer).where(GiftOffer.id.in_(list(keys))))
    return {row.id: row for row in rows}


async def left_by_offer(read: Read, keys: Iterable[UUID]) -> dict[UUID, int]:
    """How many units of each offer can be held now; overdue holds are free already."""
    overdue = (
        select(func.count())
        .where(
            GiftHold.offer_id == GiftOffer.id,
            GiftHold.state == HoldState.HELD,
            GiftHold.expires_at <= read.now,
        )
        .scalar_subquery()
    )
    rows = await read.session.execute(
        select(
            GiftOffer.id,
            GiftOffer.stock - GiftOffer.promised - GiftOffer.held - GiftOffer.taken + overdue,
        ).where(GiftOffer.id.in_(list(keys)))
    )
    return {row[0]: row[1] for row in rows}


async def pack_page(
    read: Read, *, first: int, after: UUID | None, state: PackState | None
) -> list[Pack]:
    """Packs, newest first; one more than `first` if there are more."""
    query = select(Pack).order_by(Pack.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(Pack.id < after)
    if state is not None:
        query = query.where(Pack.state == state)
    return list(await read.session.scalars(query))


async def offer_page(
    read: Read, *, first: int, after: UUID | None, open_only: bool
) -> list[GiftOffer]:
    """Gift offers, newest first; one more than `first` if there are more."""
    query = select(GiftOffer).order_by(GiftOffer.id.desc()).limit(first + 1)
    if after is not None:
        query = query.where(GiftOffer.id < after)
    if open_only:
        query = query.where(
            GiftOffer.opens_at <= read.now,
            GiftOffer.closes_at.is_(None) | (GiftOffer.closes_at > read.now),
        )
    return list(await read.session.scalars(query))


async def claim_pages(read: Read, keys: Iterable[MemberPage]) -> dict[MemberPage, list[PackClaim]]:
    """Each page of a member's packs, newest first; one more than `first` if there are more."""
    found: dict[MemberPage, list[PackClaim]] = {}
    for page in keys:
        query = select(PackClaim).where(PackClaim.member_id == page.member_id)
        if page.after is not None:
            query = query.where(PackClaim.id < page.after)
        query = query.order_by(PackClaim.id.desc()).limit(page.first + 1)
        found[page] = list(await read.session.scalars(query))
    return found


async def hold_pages(read: Read, keys: Iterable[MemberPage]) -> dict[MemberPage, list[GiftHold]]:
    """Each page of a member's gifts, newest first; one more than `first` if there are more."""
    found: dict[MemberPage, list[GiftHold]] = {}
    for page in keys:
        query = select(GiftHold).where(GiftHold.member_id == page.member_id)
        if page.after is not None:
            query = query.where(GiftHold.id < page.after)
        query = query.order_by(GiftHold.id.desc()).limit(page.first + 1)
        found[page] = list(await read.session.scalars(query))
    return found


async def claims_by_member_and_id(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], PackClaim]:
    """Claims by member and id; unknown ones are absent."""
    rows = await read.session.scalars(
        select(PackClaim).where(tuple_(PackClaim.member_id, PackClaim.id).in_(list(keys)))
    )
    return {(row.member_id, row.id): row for row in rows}


async def holds_by_member_and_id(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], GiftHold]:
    """Holds by member and id; unknown ones are absent."""
    rows = await read.session.scalars(
        select(GiftHold).where(tuple_(GiftHold.member_id, GiftHold.id).in_(list(keys)))
    )
    return {(row.member_id, row.id): row for row in rows}


async def parts_by_claim(
    read: Read, keys: Iterable[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], list[tuple[PackPart, PackItem]]]:
    """The parts of each claim with what they are, in order."""
    found: dict[tuple[UUID, UUID], list[tuple[PackPart, PackItem]]] = defaultdict(list)
    rows = await read.session.execute(
        select(PackPart, PackItem)
        .join(
            PackItem,
            (PackItem.pack_id == PackPart.pack_id) & (PackItem.position == PackPart.position),
        )
        .where(tuple_(PackPart.member_id, PackPart.claim_id).in_(list(keys)))
        .order_by(PackPart.position)
    )
    for part, item in rows:
        found[part.member_id, part.claim_id].append((part, item))
    return found


async def taken_fen(read: Read, *, member_id: UUID, order_ref: str) -> int:
    """What the gifts taken with an order cost together: no points are earned by it.

    Those that went back with the order's refund were paid for all the same.
    """
    found = await read.session.scalar(
        select(func.coalesce(func.sum(GiftOffer.price_fen), 0))
        .join(GiftHold, GiftHold.offer_id == GiftOffer.id)
        .where(
            GiftHold.member_id == member_id,
            GiftHold.order_ref == order_ref,
            GiftHold.state.in_((HoldState.TAKEN, HoldState.RETURNED)),
        )
    )
    return int(found or 0)


async def given_back_fen(read: Read, *, member_id: UUID, order_ref: str, order_id: UUID) -> int:
    """What went back of the lines of gifts taken with an order: it had earned no points.

    A gift's line is told from others of its article by what was paid.
    """
    found = await read.session.scalar(
        select(func.coalesce(func.sum(OrderLine.refunded_fen), 0)).where(
            OrderLine.member_id == member_id,
            OrderLine.order_id == order_id,
            select(GiftHold.id)
            .join(GiftOffer, GiftOffer.id == GiftHold.offer_id)
            .where(
                GiftHold.member_id == member_id,
                GiftHold.order_ref == order_ref,
                GiftHold.state.in_((HoldState.TAKEN, HoldState.RETURNED)),
                GiftOffer.sku == OrderLine.sku,
                OrderLine.paid_fen == OrderLine.quantity * GiftOffer.price_fen,
            )
            .exists(),
        )
    )
    return int(found or 0)


async def festivals(read: Read) -> list[Festival]:
    """Every festival: those everybody knows, then those that staff added."""
    rows = await read.session.scalars(
        select(FestivalRow).order_by(FestivalRow.code).limit(MOST_FESTIVALS)
    )
    own = [
        Festival(row.code, row.name_zh, row.name_en, row.calendar, row.month, row.day)
        for row in rows
    ]
    return [*FESTIVALS, *own]


async def gifts_in_force(read: Read) -> list[OccasionGift]:
    """What is given on occasions now, by occasion and tier."""
    return list(
        await read.session.scalars(
            select(OccasionGift)
            .where(OccasionGift.ended_at.is_(None))
            .order_by(OccasionGift.occasion, OccasionGift.tier_code.nulls_first())
        )
    )


@dataclass(frozen=True, slots=True)
class ToldBirthday:
    """A member's birthday as told last, and when it is celebrated next."""

    birthday: Birthday
    next_on: date
    # The first cycle in which it counts, where it was changed.
    from_cycle: int | None


async def birthdays_by_member(read: Read, keys: Iterable[UUID]) -> dict[UUID, ToldBirthday]:
    """Members' birthdays; members who told none are absent."""
    rows = await read.session.execute(
        select(
            Member.id,
            Member.birthday,
            Community.time_zone,
            BirthdayChange.before,
            BirthdayChange.from_cycle,
        )
        .join(Community, Community.id == Member.community_id)
        .outerjoin(BirthdayChange, BirthdayChange.member_id == Member.id)
        .where(Member.id.in_(list(keys)))
    )
    found: dict[UUID, ToldBirthday] = {}
    for member_id, stored, zone, before, from_cycle in rows:
        told, earlier = birthday_of(stored), birthday_of(before)
        if told is not None:
            today = business_day(read.now, zone)
            next_on = next_in_force(told, earlier, from_cycle, today)
            found[member_id] = ToldBirthday(told, next_on, from_cycle)
    return found


async def occasion_gifts_by_id(read: Read, keys: Iterable[UUID]) -> dict[UUID, OccasionGift]:
    """Gifts of occasions by id, ended ones too; unknown ids are absent."""
    rows = await read.session.scalars(select(OccasionGift).where(OccasionGift.id.in_(list(keys))))
    return {row.id: row for row in rows}
