"""Offers by stage of the life cycle that come with the product, as templates to make batches of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select

from app.coupons.batches import create_template
from app.coupons.drafting import TemplateDraft
from app.coupons.tables import Kind, ReturnPolicy, Template, Validity
from app.kernel.db import Tx
from app.kernel.sets import lock_name

FRESH, RELATED = "生鲜蔬菜", "水果"


@dataclass(frozen=True, slots=True)
class ReadyOffer:
    """A template for the members of a stage; those of a `pack` are given together."""

    key: str
    stage: str
    draft: TemplateDraft
    pack: str | None = None


def _draft(name: str, value: int, **more: object) -> TemplateDraft:
    draft = TemplateDraft(
        name=name,
        kind=Kind.FIXED,
        value=value,
        validity=Validity.RELATIVE,
        valid_days=14,
        return_policy=ReturnPolicy.ON_FULL_REFUND,
    )
    return replace(draft, **more)


def _pack(key: str, draft: TemplateDraft) -> ReadyOffer:
    return ReadyOffer(f"lapsed-high-value.{key}", "LAPSED_HIGH_VALUE", draft, pack="回归礼包")


READY_OFFERS: tuple[ReadyOffer, ...] = (
    ReadyOffer(
        "newcomer.first-order",
        "NEW_UNCONVERTED",
        _draft("首单券：无门槛立减8元", 800, valid_days=7, per_identity=1, first_order=True),
    ),
    ReadyOffer(
        "newcomer.no-threshold", "ONBOARDING", _draft("新人礼：无门槛立减5元", 500, per_identity=1)
    ),
    ReadyOffer(
        "low-frequency.threshold",
        "LOW_FREQUENCY",
        _draft("常来坐坐：满49减6", 600, threshold_fen=4_900),
    ),
    ReadyOffer(
        "low-frequency.category",
        "LOW_FREQUENCY",
        _draft(
            "天天生鲜：满29减5",
            500,
            kind=Kind.CATEGORY,
            threshold_fen=2_900,
            categories=(FRESH,),
        ),
    ),
    _pack("welcome", _draft("回归礼：无门槛立减10元", 1_000)),
    _pack("threshold", _draft("回归礼：满59减25", 2_500, threshold_fen=5_900)),
    _pack("shipping", _draft("回归礼：免运费", 600, kind=Kind.SHIPPING)),
    ReadyOffer(
        "potential.threshold",
        "POTENTIAL",
        _draft("再近一步：满79减12", 1_200, threshold_fen=7_900),
    ),
    ReadyOffer(
        "potential.related",
        "POTENTIAL",
        _draft(
            "换个口味：水果8折",
            20,
            kind=Kind.PERCENT,
            max_discount_fen=1_000,
            categories=(RELATED,),
        ),
    ),
)


async def ensure_offers(
    tx: Tx, *, by: UUID | None = None, offers: Sequence[ReadyOffer] = READY_OFFERS
) -> list[str]:
    """Make the templates of these offers that are missing; answers their keys.

    A template that is there stays as it is.
    """
    await lock_name(tx, "ready coupon offers")
    there = set(
        await tx.session.scalars(
            select(Template.ready_key).where(Template.ready_key.in_([item.key for item in offers]))
        )
    )
    missing = [offer for offer in offers if offer.key not in there]
    for offer in missing:
        await create_template(tx, draft=replace(offer.draft, ready_key=offer.key), by=by)
    return [offer.key for offer in missing]
