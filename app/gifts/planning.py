"""Festivals that staff add, and what is given on which occasion."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app import coupons, tiers
from app.gifts.calendars import FESTIVALS, Festival, check_day
from app.gifts.errors import FestivalExists, OccasionNotFound
from app.gifts.queries import festivals
from app.gifts.rules import BIRTHDAY
from app.gifts.tables import FestivalRow, OccasionGift
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.sets import lock_name
from app.kernel.text import checked_text

LONGEST_CODE = 40
LONGEST_NAME = 40


async def add_festival(tx: Tx, *, festival: Festival) -> Festival:
    """Add a festival to those everybody knows. Raises FestivalExists, InvalidInput."""
    code = checked_text(festival.code, field="code", longest=LONGEST_CODE)
    if not code.isascii() or not code.replace("_", "").isalnum() or code != code.upper():
        raise InvalidInput(
            field="code", reason="capital letters, digits and _", reason_zh="限大写字母、数字和_"
        )
    check_day(festival.calendar, festival.month, festival.day)
    if code == BIRTHDAY or code in {known.code for known in FESTIVALS}:
        raise FestivalExists()
    made = await tx.session.scalar(
        insert(FestivalRow)
        .values(
            code=code,
            name_zh=checked_text(festival.name_zh, field="nameZh", longest=LONGEST_NAME),
            name_en=checked_text(festival.name_en, field="nameEn", longest=LONGEST_NAME),
            calendar=festival.calendar,
            month=festival.month,
            day=festival.day,
            created_at=tx.now,
        )
        .on_conflict_do_nothing()
        .returning(FestivalRow.code)
    )
    if made is None:
        raise FestivalExists()
    return next(known for known in await festivals(tx) if known.code == code)


async def set_occasion_gift(
    tx: Tx, *, occasion: str, tier_code: str | None, batch_id: UUID | None, by: UUID | None = None
) -> OccasionGift | None:
    """Give coupons of this batch on an occasion from now on; None for the batch gives none.

    With a tier it is for that tier's members, without one for those of all tiers that have none of
    their own. Raises OccasionNotFound, tiers.TierNotFound, coupons.BatchNotFound.
    """
    if occasion != BIRTHDAY and occasion not in {known.code for known in await festivals(tx)}:
        raise OccasionNotFound()
    if tier_code is not None and not await tiers.tiers_by_code(tx, [tier_code]):
        raise tiers.TierNotFound()
    if batch_id is not None and not await coupons.batches_by_id(tx, [batch_id]):
        raise coupons.BatchNotFound()
    await lock_name(tx, f"gift of {occasion} {tier_code}")
    held = await tx.session.scalar(
        select(OccasionGift).where(
            OccasionGift.occasion == occasion,
            OccasionGift.tier_code.is_not_distinct_from(tier_code),
            OccasionGift.ended_at.is_(None),
        )
    )
    if held is not None and held.batch_id == batch_id:
        return held
    if held is not None:
        held.ended_at = tx.now
        await tx.session.flush()
    if batch_id is None:
        return None
    gift = OccasionGift(
        id=tx.new_id(),
        occasion=occasion,
        tier_code=tier_code,
        batch_id=batch_id,
        created_by=by,
        created_at=tx.now,
        ended_at=None,
    )
    tx.session.add(gift)
    await tx.session.flush()
    return gift
