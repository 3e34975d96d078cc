"""What the shop offers: a coupon for each stage of the life cycle, two drops and a campaign."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select

from app import campaigns, coupons, drops, segments
from app.coupons import Kind, TemplateDraft, Validity
from app.kernel.clock import business_day, day_start
from app.kernel.db import Tx
from app.segments import Stage
from cli.demo.people import owner_of

# How many members of a stage get its coupon; a demo needs no more.
GRANTED: Final = 200
QUANTITY: Final = 5_000
DROP_STOCK: Final = 50


@dataclass(frozen=True, slots=True)
class Offer:
    """A coupon for the members of a stage."""

    stage: Stage
    draft: TemplateDraft


def _draft(name: str, fen: int, *, threshold: int = 0, days: int = 14) -> TemplateDraft:
    return TemplateDraft(
        name=name,
        kind=Kind.FIXED,
        value=fen,
        validity=Validity.RELATIVE,
        threshold_fen=threshold,
        valid_days=days,
    )


OFFERS: Final = (
    Offer(Stage.ONBOARDING, _draft("新人礼：无门槛立减5元", 500)),
    Offer(Stage.NEW_UNCONVERTED, _draft("首单券：无门槛立减8元", 800, days=7)),
    Offer(Stage.LOW_FREQUENCY, _draft("常来坐坐：满49减6", 600, threshold=4_900)),
    Offer(Stage.REGULAR, _draft("邻里常客：满69减8", 800, threshold=6_900)),
    Offer(Stage.POTENTIAL, _draft("再近一步：满79减12", 1_200, threshold=7_900)),
    Offer(Stage.VIP, _draft("核心会员专享：满99减20", 2_000, threshold=9_900)),
    Offer(Stage.SILENT, _draft("好久不见：满29减8", 800, threshold=2_900)),
    Offer(Stage.CHURNED, _draft("等您回家：无门槛立减10元", 1_000)),
)
WIN_BACK: Final = Offer(
    Stage.LAPSED_HIGH_VALUE, _draft("老朋友回归：满59减25", 2_500, threshold=5_900)
)
DROP: Final = _draft("邻里秒杀：满19减10", 1_000, threshold=1_900, days=7)


async def offer_coupons(tx: Tx) -> None:
    """A template and a batch for each stage, and coupons for some of its members."""
    by = await owner_of(tx)
    for offer in OFFERS:
        batch = await _active_batch(tx, offer.draft, by=by)
        chosen = segments.members_in_stage(offer.stage).limit(GRANTED)
        member_ids = list(await tx.session.scalars(chosen))
        if member_ids:
            source = coupons.Source.STAFF
            await coupons.grant(tx, batch_id=batch, member_ids=member_ids, source=source)


async def offer_drops(tx: Tx) -> None:
    """A drop that is open for a week, and one that opens tomorrow evening."""
    by = await owner_of(tx)
    batch = await _active_batch(tx, DROP, by=by)
    tomorrow = day_start(business_day(tx.now) + timedelta(days=1)) + timedelta(hours=20)
    week, hours = timedelta(days=7), timedelta(hours=2)
    now = await drops.create_drop(
        tx,
        batch_id=batch,
        title="今日秒杀：满19减10，限量50张",
        opens_at=tx.now,
        closes_at=tx.now + week,
        stock=DROP_STOCK,
        by=by,
    )
    await drops.open_drop(tx, drop_id=now.id)
    await drops.create_drop(
        tx,
        batch_id=batch,
        title="明晚八点秒杀：满19减10，限量50张",
        opens_at=tomorrow,
        closes_at=tomorrow + hours,
        stock=DROP_STOCK,
        by=by,
    )


async def draft_campaign(tx: Tx) -> None:
    """A campaign that waits to be started: it wins back members who used to spend much."""
    by = await owner_of(tx)
    batch = await _active_batch(tx, WIN_BACK.draft, by=by)
    await campaigns.create(
        tx,
        name="老朋友回归计划",
        segment=WIN_BACK.stage,
        batch_id=batch,
        ends_at=tx.now + timedelta(days=60),
        holdout_permille=100,
        by=by,
    )


async def treat_star(tx: Tx, *, member_id: UUID) -> None:
    """One coupon of each offer for the demo's star, besides what their stage brought."""
    for offer in OFFERS[-4:-2]:
        batch = await tx.session.scalar(
            select(coupons.Batch.id)
            .join(coupons.Template, coupons.Template.id == coupons.Batch.template_id)
            .where(coupons.Template.name == offer.draft.name)
        )
        if batch is not None:
            source = coupons.Source.STAFF
            await coupons.grant(tx, batch_id=batch, member_ids=[member_id], source=source)


async def _active_batch(tx: Tx, draft: TemplateDraft, *, by: UUID | None) -> UUID:
    template = await coupons.create_template(tx, draft=draft, by=by)
    batch = await coupons.create_batch(tx, template_id=template.id, quantity=QUANTITY)
    await coupons.approve_batch(tx, batch_id=batch.id, by=by)
    await coupons.move_batch(tx, batch_id=batch.id, to=coupons.BatchState.ACTIVE)
    return batch.id
