"""The playbook that comes with the product: a draft for staff to look at, approve and activate."""

from uuid import UUID

from sqlalchemy import select

from app import coupons, staff
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.playbooks.checking import MeasureDraft, PlaybookDraft
from app.playbooks.drafting import create_playbook
from app.playbooks.tables import Audience, Level, MeasureKind, Playbook

READY_KEY = "ready"
READY_NAME = "挽留预案"
COUPONS_EACH = 500
"""How many coupons the drafted batch of each offer holds; staff approve it or make their own."""

# Audience -> the ready offer of app.coupons that the second level gives.
OFFERS = {
    Audience.NEWCOMER: "newcomer.no-threshold",
    Audience.LOW_FREQUENCY: "low-frequency.threshold",
    Audience.POTENTIAL: "potential.threshold",
    Audience.LAPSED_HIGH_VALUE: "lapsed-high-value.threshold",
    Audience.VIP: "lapsed-high-value.welcome",
    Audience.OTHERS: "low-frequency.category",
}
_GUIDES = {
    Audience.NEWCOMER: (
        "{nickname}，下单很简单：晚上11点前下单，第二天在小区自提。先从{category}试试吧。",
        "{nickname}, order by 23:00 and collect in your estate the next day. Try {category} first.",
    ),
    Audience.OTHERS: (
        "{nickname}，好久不见！您常买的{category}本周又到新货，来看看吧。",
        "{nickname}, good to see you again: {category}, which you often buy, is fresh this week.",
    ),
}
_CALLS = {
    Audience.VIP: (
        "问候{nickname}，听听最近有什么不满意；可承诺{category}优先留货，不推销。",
        "Greet {nickname}, ask what was not right lately; offer to keep {category} for them. "
        "Sell nothing.",
    ),
    Audience.OTHERS: (
        "用自己的话问问{nickname}最近还好吗，提一句{category}今天的价格，可留两份到明天。",
        "In your own words ask how {nickname} is; mention today's price of {category} and that two "
        "can be kept until tomorrow.",
    ),
}


async def ensure_playbook(tx: Tx, *, by: UUID = staff.PRODUCT) -> Playbook | None:
    """Draft the ready playbook with a drafted batch for each of its offers, unless it is there.

    Its author is the product, whom nobody of staff is, so that any of them may approve it. Nothing
    is given before they approve the batches and activate the playbook. None where it was made
    before.
    """
    await lock_name(tx, "ready playbook")
    if await tx.session.scalar(select(Playbook.id).where(Playbook.ready_key == READY_KEY)):
        return None
    await coupons.ensure_offers(tx, by=by)
    keys = sorted(set(OFFERS.values()))
    found = await tx.session.scalars(
        select(coupons.Template).where(coupons.Template.ready_key.in_(keys))
    )
    batches = {
        template.ready_key: await coupons.create_batch(
            tx, template_id=template.id, quantity=COUPONS_EACH, by=by
        )
        for template in found.all()
    }
    given = [
        MeasureDraft(Level.L2, audience, MeasureKind.COUPON, batch_id=batches[key].id)
        for audience, key in OFFERS.items()
    ]
    draft = PlaybookDraft(name=READY_NAME, measures=[*_spoken(), *given])
    return await create_playbook(tx, draft=draft, by=by, ready_key=READY_KEY)


def _spoken() -> list[MeasureDraft]:
    guides = [
        MeasureDraft(Level.L1, audience, MeasureKind.MESSAGE, text_zh=zh, text_en=en)
        for audience, (zh, en) in _GUIDES.items()
    ]
    calls = [
        MeasureDraft(
            Level.L3,
            audience,
            MeasureKind.TASK,
            text_zh=zh,
            text_en=en,
            contact_fen=500,
            for_leader=audience is Audience.OTHERS,
        )
        for audience, (zh, en) in _CALLS.items()
    ]
    return guides + calls
