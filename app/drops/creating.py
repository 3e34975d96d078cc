"""Making drops."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app import coupons
from app.drops.rules import Window, windows_fit
from app.drops.tables import Drop, DropState, EarlyWindow
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.text import checked_text
from app.members import CommunityNotFound, communities_by_id

MAX_STOCK = 10_000_000
LONGEST_TITLE = 60


async def create_drop(
    tx: Tx,
    *,
    batch_id: UUID,
    title: str,
    opens_at: datetime,
    closes_at: datetime,
    stock: int,
    community_id: UUID | None = None,
    min_rank: int | None = None,
    guests_only: bool = False,
    early: Sequence[Window] = (),
    by: UUID | None = None,
) -> Drop:
    """Schedule a drop; its stock and the money for it are set aside in the batch at once.

    It is for members of the community, of tiers from `min_rank` on, and for guests (`invite`), each
    where given. `early` are windows of early access, carved out of the stock.

    Raises coupons.BatchNotFound, coupons.BatchNotActive, coupons.BatchTooSmall, CommunityNotFound,
    InvalidInput.
    """
    title = checked_text(title, field="title", longest=LONGEST_TITLE)
    await _check(tx, opens_at, closes_at, stock, community_id)
    windows = checked_windows(early, opens_at, stock)
    await _set_aside(tx, batch_id, stock, closes_at)
    drop = Drop(
        id=tx.new_id(),
        batch_id=batch_id,
        title=title,
        opens_at=opens_at,
        closes_at=closes_at,
        stock=stock,
        claimed=0,
        state=DropState.SCHEDULED,
        community_id=community_id,
        min_rank=min_rank,
        guests_only=guests_only,
        early_opens_at=windows[0].opens_at if windows else None,
        early_stock=sum(window.stock for window in windows),
        version=1,
        terms=1,
        created_by=by,
        created_at=tx.now,
    )
    tx.session.add(drop)
    await tx.session.flush()
    await store_windows(tx, drop.id, windows)
    return drop


async def store_windows(tx: Tx, drop_id: UUID, windows: Sequence[Window]) -> None:
    """Write a drop's windows down; it has none so far."""
    tx.session.add_all(
        EarlyWindow(drop_id=drop_id, opens_at=one.opens_at, rank=one.rank, stock=one.stock)
        for one in windows
    )
    await tx.session.flush()


async def _check(
    tx: Tx,
    opens_at: datetime,
    closes_at: datetime,
    stock: int,
    community_id: UUID | None,
) -> None:
    if opens_at >= closes_at:
        raise InvalidInput(
            field="closesAt", reason="must be after opensAt", reason_zh="须晚于开始时间"
        )
    if closes_at <= tx.now:
        raise InvalidInput(field="closesAt", reason="is in the past", reason_zh="已过")
    check_within(stock, 1, MAX_STOCK, field="stock")
    if community_id is not None and not await communities_by_id(tx, [community_id]):
        raise CommunityNotFound()


def checked_windows(early: Sequence[Window], opens_at: datetime, stock: int) -> list[Window]:
    """The windows in the order of their instants. Raises InvalidInput where they cannot be."""
    windows = sorted(early, key=lambda window: window.opens_at)
    wrong = windows_fit(windows, opens_at, stock)
    if wrong is not None:
        raise InvalidInput(field="earlyAccess", reason=wrong, reason_zh="提前抢设置有误")
    return windows


async def _set_aside(tx: Tx, batch_id: UUID, stock: int, closes_at: datetime) -> None:
    batch = await coupons.set_aside(tx, batch_id=batch_id, quantity=stock)
    template = (await coupons.templates_by_id(tx, [batch.template_id]))[batch.template_id]
    if template.per_identity is not None:
        raise InvalidInput(
            field="batchId",
            reason="a drop gives each person one by itself: its template has no limit of its own",
            reason_zh="秒杀本身已限每人一张，模板不可另设每身份限制",
        )
    if template.valid_until is not None and template.valid_until < closes_at:
        raise InvalidInput(
            field="closesAt",
            reason="the coupons stop being valid before the drop closes",
            reason_zh="活动结束前优惠券已失效",
        )
