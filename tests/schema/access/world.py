"""A small world with something of every type in it, and every kind of caller."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

from app import ballots, churn, coupons, drops, eco, gifts, leaving, members, staff
from app.kernel.auth import (
    ANONYMOUS,
    Caller,
    MemberCaller,
    PartnerCaller,
    Role,
    Scope,
    StaffCaller,
)
from app.kernel.db import Database, Tx
from schema.nodes import global_id
from tests.make import ballots as make_ballots
from tests.make import campaigns as make_campaigns
from tests.make import churn as make_churn
from tests.make import coupons as make_coupons
from tests.make import drops as make_drops
from tests.make import eco as make_eco
from tests.make import gifts as make_gifts
from tests.make import members as make_members
from tests.make import playbooks as make_playbooks
from tests.make import points as make_points
from tests.make import reviews as make_reviews
from tests.make import tiers as make_tiers
from tests.make.scenes import a_full_member

# A month by which what the member has spent is long ago.
RUN = date(2027, 6, 1)


@dataclass(frozen=True, slots=True)
class World:
    """Who calls, and what there is to ask for: the things are `owner`'s, or of their community."""

    callers: dict[str, Caller]
    # A root field with its arguments, or `node:Kind`, as a document asks for it.
    asks: dict[str, str]
    home: UUID


async def build(database: Database) -> World:
    """Lay out the world: one member with everything, others with nothing, two communities."""
    me = await a_full_member(database)
    async with database.begin() as tx:
        home = (await make_members.community(tx)).id
        away = (await make_members.community(tx, name="滨江苑")).id
        callers = await _callers(tx, me, home, away)
        things = await _things(tx, me, home)
    ballot = await _voted(database, me, home)
    return World(callers, _asks(things | {"Ballot": ballot}), home)


async def _callers(tx: Tx, me: UUID, home: UUID, away: UUID) -> dict[str, Caller]:
    neighbour = (await make_members.member(tx, community_id=home)).id
    stranger = (await make_members.member(tx, community_id=away)).id
    frozen = await make_members.member(tx, community_id=home, status=members.MemberStatus.FROZEN)
    return {
        "anonymous": ANONYMOUS,
        "self": MemberCaller(me, uuid4()),
        "neighbour": MemberCaller(neighbour, uuid4()),
        "stranger": MemberCaller(stranger, uuid4()),
        "frozen": MemberCaller(frozen.id, uuid4()),
        "owner": StaffCaller(uuid4(), uuid4(), Role.OWNER),
        "manager": StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER),
        "support": StaffCaller(uuid4(), uuid4(), Role.SUPPORT),
        "analyst": StaffCaller(uuid4(), uuid4(), Role.ANALYST),
        "leader": StaffCaller(uuid4(), uuid4(), Role.LEADER, home),
        "far": StaffCaller(uuid4(), uuid4(), Role.LEADER, away),
        "homeless": StaffCaller(uuid4(), uuid4(), Role.LEADER),
        "partner": PartnerCaller(uuid4(), frozenset(Scope)),
        "orders": PartnerCaller(uuid4(), frozenset({Scope.ORDERS_WRITE})),
        "keyless": PartnerCaller(uuid4(), frozenset()),
    }


async def _things(tx: Tx, me: UUID, home: UUID) -> dict[str, UUID]:
    await make_points.lot(tx, member_id=me, amount=5)
    alert = await make_churn.alert_in_hand(tx, member_id=me)
    model = await make_churn.watched(tx)
    found = churn.NewTrigger(0.7, 0.58, 0.71, 0.02, 300, 28)
    await churn.record_triggers(tx, as_of=tx.now, nights=20, found=[found])
    campaign = await make_campaigns.campaign(tx)
    gifted = await _gifted(tx, me)
    drop = await make_drops.open_drop(tx, early=[drops.Window(2, tx.now, 1)])
    claim = await drops.claim(tx, drop_id=drop.id, member_id=me)
    await _redeem(tx, me, claim.coupon_id)
    await drops.cancel_drop(tx, drop_id=drop.id, reason="no more of it")
    await _out_of_reach(tx, me)
    booking = await make_tiers.booking(tx, member_id=me)
    await make_tiers.preview(tx, RUN)
    await staff.audit(tx, actor=staff.Actor("staff", uuid4()), action="looked", given={})
    [entry] = await staff.audit_page(tx, first=1)
    action = await make_eco.action(tx, member_id=me, type=eco.EcoType.BATTERY_RECYCLING)
    await staff.notify(tx, [staff.Notice("check", "world", {})], day=tx.now.date())
    [notice, *_] = await staff.notices_page(tx, first=1)
    await leaving.request_export(tx, member_id=me)
    return {
        "Spare": (await make_members.member(tx, community_id=home)).id,
        "StaffNotice": notice.id,
        "Member": me,
        "Community": home,
        "Coupon": claim.coupon_id,
        "CouponBatch": drop.batch_id,
        "CouponTemplate": (await make_coupons.template(tx)).id,
        **gifted,
        **({"BenefitSlot": booking.slot_id} if booking.slot_id else {}),
        "BenefitUse": booking.id,
        "Drop": drop.id,
        "ChurnAlert": alert.id,
        "ChurnModel": model.id,
        "Campaign": campaign.id,
        **(await make_playbooks.everything(tx, member_id=me, alert=alert)),
        "Review": (await make_reviews.review(tx, member_id=me, sku="PEACH")).id,
        "EcoAction": action.id,
        "AuditEntry": entry.id,
    }


async def _gifted(tx: Tx, me: UUID) -> dict[str, UUID]:
    """A pack of a coupon and a gift that `self` has claimed, their birthday, and what it brings."""
    offer = await make_gifts.offer(tx)
    items = [await make_gifts.coupon_item(tx), gifts.ItemDraft(offer_id=offer.id)]
    pack = await make_gifts.pack(tx, items=items, stock=2)
    await gifts.claim_pack(tx, pack_id=pack.id, member_id=me, episode_id=None)
    hold = await gifts.hold_gift(tx, offer_id=offer.id, member_id=me)
    born = gifts.Birthday(gifts.Calendar.LUNAR, 11, 20)
    await gifts.set_birthday(tx, member_id=me, birthday=born)
    await make_gifts.occasion_gift(tx)
    return {"Pack": pack.id, "GiftOffer": offer.id, "GiftHold": hold.id}


async def _redeem(tx: Tx, me: UUID, coupon: UUID) -> None:
    basket = coupons.Basket([coupons.Line("apple", "fruit", 3, 1_000)])
    await coupons.redeem(tx, coupon_id=coupon, member_id=me, order_ref="order-1", basket=basket)


async def _out_of_reach(tx: Tx, me: UUID) -> None:
    """A coupon whose threshold no basket of the world reaches."""
    template = await make_coupons.template(tx, threshold_fen=10**9)
    batch = await make_coupons.batch(tx, template_id=template.id)
    await make_coupons.coupon(tx, member_id=me, batch_id=batch.id)


async def _voted(database: Database, me: UUID, home: UUID) -> UUID:
    """A ballot of the home community that only voters see the tally of; `self` has voted."""
    ballot, options, _ = await make_ballots.open_ballot(
        database, community_id=home, visibility=ballots.ResultsVisibility.UNTIL_VOTED
    )
    async with database.begin() as tx:
        await ballots.cast(tx, ballot_id=ballot, member_id=me, option_id=options[0])
    return ballot


def _asks(things: dict[str, UUID]) -> dict[str, str]:
    spare = global_id("Member", things.pop("Spare"))
    ids = {kind: global_id(kind, key) for kind, key in things.items()}
    asks = {f"node:{kind}": f'node(id: "{id}")' for kind, id in ids.items()}
    return asks | {
        "me": "me",
        "member": f'member(id: "{ids["Member"]}")',
        "members": f'members(first: 100, communityId: "{ids["Community"]}")',
        "previewMerge": f'previewMerge(survivorId: "{ids["Member"]}", mergedId: "{spare}")',
        "myDataExport": "myDataExport",
        "tiers": "tiers",
        "tierRun": f'tierRun(month: "{RUN:%Y-%m}")',
        "benefits": "benefits",
        "benefitSlots": 'benefitSlots(benefitCode: "after-school-care")',
        "couponTemplates": "couponTemplates(first: 5)",
        "couponBatches": "couponBatches(first: 5)",
        "priceBasket": 'priceBasket(basket: {lines: [{sku: "apple", unitFen: 9900}, '
        '{sku: "EGGS", unitFen: 900}]}, points: 5)',
        "drop": f'drop(id: "{ids["Drop"]}")',
        "packs": "packs(first: 5)",
        "giftOffers": "giftOffers(first: 5)",
        "festivals": "festivals",
        "occasionGifts": "occasionGifts",
        "drops": "drops(first: 5)",
        "segments": "segments",
        "churnAlerts": "churnAlerts(first: 5)",
        "churnModels": "churnModels(first: 5)",
        "churnDrift": "churnDrift",
        "churnTriggers": "churnTriggers",
        "campaigns": "campaigns(first: 5)",
        "ballot": f'ballot(id: "{ids["Ballot"]}")',
        "ballots": "ballots(first: 5)",
        "auditLog": "auditLog(first: 5)",
        "communitySettings": f'communitySettings(communityId: "{ids["Community"]}")',
        "pointsStatement": f'pointsStatement(memberId: "{ids["Member"]}")',
        "staffNotices": "staffNotices(first: 5)",
        "playbooks": "playbooks(first: 5)",
        "playbookEffects": f'playbookEffects(playbookId: "{ids["Playbook"]}")',
        "rankedAlerts": "rankedAlerts(first: 5)",
        "playbookTasks": "playbookTasks(first: 5)",
        "serverInfo": "serverInfo",
        "serverTime": "serverTime",
        "dropUpdated": f'dropUpdated(dropId: "{ids["Drop"]}")',
        "ballotTally": f'ballotTally(ballotId: "{ids["Ballot"]}")',
        "churnAlertRaised": "churnAlertRaised",
        "churnAlertChanged": "churnAlertChanged",
        "myUpdates": "myUpdates",
    }
