"""Codes made in advance, a hundred thousand in seconds, and what entering one gives."""

import hashlib
import re
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.coupons.batches import locked_batch
from app.coupons.errors import (
    BatchUsedUp,
    CodeNotFound,
    CodeTaken,
    CouponLimitReached,
)
from app.coupons.granting import CODE_ALPHABET, CODE_LENGTH, grant, new_code
from app.coupons.tables import Code, CodeMode, Source
from app.kernel.db import Read, Tx
from app.kernel.errors import InvalidInput
from app.members import MemberNotActive

_GAPS = re.compile(r"[\s-]+")
# As they are misread on paper.
_READ_AS = str.maketrans("ILO", "110")


def normal_code(text: str) -> str:
    """A code as it is stored: capitals without gaps, letters read as the digits they look like.

    >>> normal_code(" 7kq2-io9v-abcd-e ")
    '7KQ2109VABCDE'
    """
    return _GAPS.sub("", text).upper().translate(_READ_AS)


async def make_codes(tx: Tx, *, batch_id: UUID) -> int:
    """Make the codes of a batch that has them in advance, one a coupon; answers how many are new.

    Doing it again makes none. Raises BatchNotFound, InvalidInput.
    """
    batch = await locked_batch(tx, batch_id)
    if batch.code_mode is not CodeMode.BULK:
        raise InvalidInput(
            field="batchId", reason="this batch has no codes of its own", reason_zh="该批次无预制码"
        )
    made = await tx.session.scalar(
        select(func.count()).select_from(Code).where(Code.batch_id == batch_id)
    )
    missing = batch.quantity - (made or 0)
    codes = {new_code() for _ in range(missing)}
    while len(codes) < missing:
        codes.add(new_code())
    await tx.session.flush()
    held = await (await tx.session.connection()).get_raw_connection()
    connection: Any = held.driver_connection
    await connection.copy_records_to_table(
        Code.__tablename__,
        records=[(code, batch_id) for code in codes],
        columns=["code", "batch_id"],
    )
    return missing


async def codes_of(
    read: Read, batch_id: UUID, *, at_a_time: int = 10_000
) -> AsyncGenerator[list[tuple[str, datetime | None]]]:
    """All codes of a batch in their order, with when each was taken, a page at a time."""
    after = ""
    while True:
        rows = await read.session.execute(
            select(Code.code, Code.taken_at)
            .where(Code.batch_id == batch_id, Code.code > after)
            .order_by(Code.code)
            .limit(at_a_time)
        )
        page = [(row[0], row[1]) for row in rows]
        if not page:
            return
        yield page
        after = page[-1][0]


async def enter_code(tx: Tx, *, member_id: UUID, code: str) -> UUID:
    """Give the member the coupon of a code, which works once; answers the coupon.

    Gaps and small letters are forgiven. Raises CodeNotFound, CodeTaken, CouponLimitReached,
    BatchUsedUp, BatchNotActive, ValidityOver, MemberNotActive.
    """
    entered = normal_code(code)
    if len(entered) != CODE_LENGTH or not set(entered) <= set(CODE_ALPHABET):
        raise CodeNotFound()
    batch_id = await tx.session.scalar(select(Code.batch_id).where(Code.code == entered))
    if batch_id is None:
        raise CodeNotFound()
    row = await tx.session.get_one(Code, entered, with_for_update=True, populate_existing=True)
    if row.coupon_id is not None:
        raise CodeTaken()
    grants = await grant(
        tx, batch_id=batch_id, member_ids=[member_id], source=Source.CODE, source_id=None
    )
    if member_id in grants.not_active:
        raise MemberNotActive()
    if member_id in grants.at_limit:
        raise CouponLimitReached()
    if member_id not in grants.granted:
        raise BatchUsedUp()
    row.coupon_id, row.taken_at = grants.granted[member_id], tx.now
    await tx.session.flush()
    return grants.granted[member_id]


def digest_of_code(code: str) -> str:
    """What stands for a code where the code itself must not be kept."""
    return hashlib.sha256(normal_code(code).encode()).hexdigest()
