"""What stands behind each example document: real rows, who sends it, and with which variables."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
from starlette.applications import Starlette

from app import ballots, churn, coupons, drops, eco, members, segments, staff, tiers
from app.kernel.auth import ANONYMOUS, Caller, MemberCaller, Role, StaffCaller, hash_password
from app.kernel.auth import open_session as open_login
from app.kernel.db import Database
from app.wechat import fake_routes
from schema.live import live_cursor
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import ballots as make_ballots
from tests.make import campaigns as make_campaigns
from tests.make import churn as make_churn
from tests.make import coupons as make_coupons
from tests.make import drops as make_drops
from tests.make import eco as make_eco
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import playbooks as make_playbooks
from tests.make import points as make_points
from tests.make import reviews as make_reviews
from tests.make import segments as make_segments

PHONE = "+8610000123456"
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Scene:
    """Who sends the document, with what; variables that it does not declare are left out."""

    caller: Caller
    variables: dict[str, Any]


Build = Callable[[Api], Awaitable[Scene]]
SCENES: dict[str, Build] = {}
STAFF = StaffCaller(uuid4(), uuid4(), Role.OWNER)


def scene(*operations: str) -> Callable[[Build], Build]:
    """Set the scene of the operations of these names."""

    def note(build: Build) -> Build:
        for name in operations:
            SCENES[name] = build
        return build

    return note


def staffs(**variables: Any) -> Scene:
    """Sent by staff who may do everything."""
    return Scene(STAFF, variables)


def theirs(member_id: UUID, **variables: Any) -> Scene:
    """Sent by a member."""
    return Scene(MemberCaller(member_id, uuid4()), variables)


async def a_full_member(database: Database) -> UUID:
    """A member with an order, points, carbon, a tier, a stage, a badge and a coupon."""
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        await eco.ensure_eco(tx)
        person = (await make_members.member(tx)).id
        await make_orders.order(tx, member_id=person, total_fen=250_000)
        await make_points.lot(tx, member_id=person, amount=40)
        await make_eco.action(tx, member_id=person, credited=True)
        await tiers.upgrade_if_due(tx, member_id=person)
        await make_segments.stage(tx, member_id=person, stage=segments.Stage.VIP)
        await make_coupons.coupon(tx, member_id=person)
        return person


@scene("Home", "MyPoints", "MyCarbon", "MyCoupons", "Drops", "Ballots", "Tiers")
async def _at_home(api: Api) -> Scene:
    database = api.resources.database
    person = await a_full_member(database)
    async with database.begin() as tx:
        await make_drops.open_drop(tx)
        await ballots.create(tx, draft=make_ballots.draft(tx), staff_id=STAFF.id)
    await make_ballots.open_ballot(database)
    return theirs(person)


@scene("MyUpdates")
async def _something_happened(api: Api) -> Scene:
    person = await a_full_member(api.resources.database)
    return theirs(person, after=live_cursor(0))


@scene("CheckIn")
async def _a_new_day(api: Api) -> Scene:
    person = await a_full_member(api.resources.database)
    return theirs(person, input={"idempotencyKey": "tap"})


@scene("AdjustPoints")
async def _a_wrong_to_right(api: Api) -> Scene:
    given = {
        "memberId": global_id("Member", await a_full_member(api.resources.database)),
        "amount": 40,
        "reason": "late delivery",
        "idempotencyKey": "tap",
    }
    return staffs(input=given)


@scene("RedeemCoupon")
async def _a_basket(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        coupon = await make_coupons.coupon(tx, member_id=person)
    given = {
        "couponId": global_id("Coupon", coupon.id),
        "orderRef": "order-1",
        "lines": [{"sku": "apple", "category": "fruit", "quantity": 3, "unitFen": 333}],
        "idempotencyKey": "tap",
    }
    return theirs(person, input=given)


@scene("PriceBasket", "ReserveCoupon")
async def _a_basket_to_price(api: Api) -> Scene:
    basket = await _a_basket(api)
    lines = {"lines": basket.variables["input"]["lines"]}
    return Scene(basket.caller, {**basket.variables, "basket": lines, "points": 0})


@scene("ReleaseCoupon")
async def _a_held_coupon(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        coupon = await make_coupons.coupon(tx, member_id=person)
        basket = coupons.Basket([coupons.Line("apple", "fruit", 3, 333)])
        await coupons.reserve(
            tx, coupon_id=coupon.id, member_id=person, order_ref="order-1", basket=basket
        )
    key = global_id("Coupon", coupon.id)
    return theirs(person, input={"couponId": key, "orderRef": "order-1", "idempotencyKey": "tap"})


@scene("RedeemCode")
async def _a_code(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        batch = await make_coupons.batch(tx, quantity=1, code_mode=coupons.CodeMode.BULK)
        await coupons.make_codes(tx, batch_id=batch.id)
        [(code, _)] = [row async for page in coupons.codes_of(tx, batch.id) for row in page]
    return theirs(person, input={"code": code, "idempotencyKey": "tap"})


@scene("ClaimDrop", "Drop", "WatchDrop")
async def _an_open_drop(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        drop = await make_drops.open_drop(tx)
    return theirs(person, dropId=global_id("Drop", drop.id), idempotencyKey="tap")


@scene("CreateCouponTemplate")
async def _nothing_yet(api: Api) -> Scene:
    given = {"name": "五元券", "kind": "FIXED", "value": 500, "validDays": 7}
    return staffs(input=given | {"batch": {"quantity": 30}})


@scene("CloseDrop", "CancelDrop")
async def _a_drop_to_end(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        drop = await make_drops.open_drop(tx)
        await drops.claim(tx, drop_id=drop.id, member_id=person)
    key = global_id("Drop", drop.id)
    given = {"dropId": key, "reason": "印错了", "claims": "REVOKE", "points": 50}
    return staffs(input=given | {"idempotencyKey": "stop"}, dropId=key, idempotencyKey="stop")


@scene("CreateDrop", "OpenDrop")
async def _a_planned_drop(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        batch = await make_coupons.batch(tx)
        drop = await make_drops.drop(tx)
        now = tx.now
    given = {
        "batchId": global_id("CouponBatch", batch.id),
        "title": "周五秒杀",
        "opensAt": (now + timedelta(hours=1)).isoformat(),
        "closesAt": (now + timedelta(hours=2)).isoformat(),
        "stock": 10,
    }
    return staffs(input=given, dropId=global_id("Drop", drop.id))


@scene("CreateCampaign", "StartCampaign")
async def _a_campaign_to_begin(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        await make_campaigns.staged(tx)
        campaign = await make_campaigns.campaign(tx, running=False)
        batch = await make_coupons.batch(tx)
    given = {
        "name": "唤醒",
        "segment": "SILENT",
        "batchId": global_id("CouponBatch", batch.id),
    }
    return staffs(input=given, campaignId=global_id("Campaign", campaign.id))


@scene("PauseCampaign", "Campaigns")
async def _a_running_campaign(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        campaign = await make_campaigns.campaign(tx)
    return staffs(campaignId=global_id("Campaign", campaign.id))


@scene("CreateBallot", "OpenBallot")
async def _a_question(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        await make_ballots.voter(tx)
        draft = await ballots.create(tx, draft=make_ballots.draft(tx), staff_id=STAFF.id)
        now = tx.now
    given = {
        "question": "团购送货改到晚上七点？",
        "options": ["同意", "不同意"],
        "opensAt": now.isoformat(),
        "closesAt": (now + timedelta(days=3)).isoformat(),
    }
    opening = {"ballotId": global_id("Ballot", draft.id)}
    return Scene(STAFF, {"input": {"CreateBallot": given, "OpenBallot": opening}})


@scene("Vote", "WatchBallot", "CloseBallot")
async def _an_open_ballot(api: Api) -> Scene:
    ballot, options, voters = await make_ballots.open_ballot(api.resources.database)
    key = global_id("Ballot", ballot)
    vote = {"optionId": global_id("BallotOption", options[0]), "idempotencyKey": "tap"}
    given = {
        "Vote": {"ballotId": key, **vote},
        "CloseBallot": {"ballotId": key, "reason": "大家都选上午"},
    }
    async with api.resources.database.begin() as tx:
        await ballots.cast(tx, ballot_id=ballot, member_id=voters[1], option_id=options[0])
    return theirs(voters[0], ballotId=key, input=given)


@scene("SubmitReview")
async def _a_purchase(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        await make_orders.order(tx, member_id=person, sku="PEACH")
        await make_reviews.review(tx, member_id=person, sku="APPLE")
    return theirs(person, input={"sku": "PEACH", "rating": 5, "text": "又大又甜"})


@scene("SubmitEcoAction", "VerifyEcoAction")
async def _an_eco_action(api: Api) -> Scene:
    person = await a_full_member(api.resources.database)
    async with api.resources.database.begin() as tx:
        waiting = await make_eco.action(tx, member_id=person, type=eco.EcoType.NO_CUTLERY)
    given = {
        "SubmitEcoAction": {"type": "OWN_BAG", "evidenceKind": "PHOTO", "evidence": "photo-1"},
        "VerifyEcoAction": {"actionId": global_id("EcoAction", waiting.id)},
    }
    return theirs(person, input=given)


@scene("Segments")
async def _after_a_night(api: Api) -> Scene:
    await a_full_member(api.resources.database)
    async with api.resources.database.begin() as tx:
        await segments.run(tx, as_of=tx.now)
    return staffs()


@scene("ChurnAlerts")
async def _somebody_drifts(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        await make_churn.score(tx, member_id=(await make_members.member(tx)).id)
    return staffs(first=10)


@scene("ChurnModels", "ChurnDrift", "ChurnTriggers")
async def _a_watched_model(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        await make_churn.watched(tx)
        found = churn.NewTrigger(0.7, 0.58, 0.71, 0.02, 300, 28)
        await churn.record_triggers(tx, as_of=tx.now, nights=20, found=[found])
    return staffs()


@scene("ChurnSignals")
async def _somebody_logs_in_less(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        await make_churn.signal(tx, member_id=person)
        await make_churn.alert(tx, member_id=person)
    return staffs(member=global_id("Member", person))


@scene(
    "CreatePlaybook",
    "PlaybookEffects",
    "RankedAlerts",
    "PlaybookTasks",
    "CompletePlaybookTask",
)
async def _playbooks(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        alert = await make_churn.alert_in_hand(tx, member_id=person)
        made = await make_playbooks.everything(tx, member_id=person, alert=alert)
        batch = await make_coupons.batch(tx)
    coupon = {"level": "L2", "audience": "OTHERS", "kind": "COUPON"}
    given = {
        "name": "挽留",
        "measures": [coupon | {"batchId": global_id("CouponBatch", batch.id)}],
        "idempotencyKey": "playbook-1",
    }
    told = {
        "taskId": global_id("PlaybookTask", made["PlaybookTask"]),
        "result": "REACHED",
        "idempotencyKey": "task-1",
    }
    return staffs(
        input={"CreatePlaybook": given, "CompletePlaybookTask": told},
        playbookId=global_id("Playbook", made["Playbook"]),
    )


@scene("ApprovePlaybook", "ActivatePlaybook")
async def _a_drafted_playbook(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        draft = await make_playbooks.playbook(tx, [make_playbooks.message()], active=False)
    return staffs(playbookId=global_id("Playbook", draft.id))


@scene("TakeOverAlert", "AcknowledgeAlert", "MuteAlert", "CloseAlert")
async def _an_alert_to_work_on(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        alert = await make_churn.alert(tx, member_id=(await make_members.member(tx)).id)
        until = (tx.now + timedelta(days=14)).isoformat()
    named = {"alertId": global_id("ChurnAlert", alert.id), "idempotencyKey": "key-1"}
    given = {
        "TakeOverAlert": named,
        "AcknowledgeAlert": named,
        "MuteAlert": {**named, "until": until, "reason": "travels"},
        "CloseAlert": {**named, "verdict": "FALSE_ALARM", "reason": "on holiday"},
    }
    return staffs(input=given)


@scene("HandBackAlert")
async def _an_alert_in_hand(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        alert = await make_churn.alert(tx, member_id=person)
        await churn.take_over(tx, alert_id=alert.id, actor_id=STAFF.id)
    named = {"alertId": global_id("ChurnAlert", alert.id), "idempotencyKey": "key-1"}
    return staffs(input={"HandBackAlert": {**named, "reason": "is away till Monday"}})


@scene("UnmuteAlert")
async def _a_muted_alert(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        alert = await make_churn.alert(tx, member_id=(await make_members.member(tx)).id)
        until = tx.now + timedelta(days=14)
        await churn.mute(tx, alert_id=alert.id, actor_id=STAFF.id, until=until, reason="travels")
    named = {"alertId": global_id("ChurnAlert", alert.id), "idempotencyKey": "key-1"}
    return staffs(input={"UnmuteAlert": {**named, "reason": "is back"}})


@scene("WatchAlerts", "WatchQueue")
async def _somebody_drifted(api: Api) -> Scene:
    await _somebody_drifts(api)
    return staffs(after=live_cursor(0))


@scene("ServerTime")
async def _a_clock(api: Api) -> Scene:
    return Scene(ANONYMOUS, {})


@scene("RecordOrders", "RecordEvents")
async def _a_report(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = {"id": global_id("Member", (await make_members.member(tx)).id)}
        at = tx.now.isoformat()
    line = {"sku": "apple", "name": "苹果", "quantity": 2, "paidFen": 1990}
    order = {"orderNo": "A-1", "channel": "APP", "placedAt": at, "paidAt": at, "lines": [line]}
    event = {"eventId": "e-1", "kind": "BROWSE", "at": at, "category": "fruit"}
    given = {
        "RecordOrders": {"source": "till", "orders": [{"member": person, **order}]},
        "RecordEvents": {"events": [{"member": person, **event}]},
    }
    return staffs(input=given)


@scene("LoginWithWechat")
async def _a_wechat_user(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        await make_members.community(tx)
    wechat = api.resources.wechat
    await wechat.close()
    # The built-in WeChat, spoken to over HTTP without a port.
    wechat._client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=Starlette(routes=fake_routes())),
        base_url="http://wechat/dev/wechat",
    )
    return Scene(ANONYMOUS, {"code": "dev-lihua"})


@scene("RequestPhoneCode")
async def _a_phone(api: Api) -> Scene:
    return Scene(ANONYMOUS, {"phone": PHONE})


@scene("LoginWithPhone")
async def _a_code_on_its_way(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        await make_members.community(tx)
        code = await members.request_phone_code(tx, vault=api.resources.vault, phone=PHONE)
    return Scene(ANONYMOUS, {"phone": PHONE, "code": code})


@scene("StaffLogin")
async def _an_account(api: Api) -> Scene:
    hashed = await hash_password(PASSWORD)
    async with api.resources.database.begin() as tx:
        await staff.create_account(
            tx, login="owner", name="Owner", role=Role.OWNER, password_hash=hashed
        )
    return Scene(ANONYMOUS, {"login": "owner", "password": PASSWORD})


@scene("RefreshSession", "Logout")
async def _signed_in(api: Api) -> Scene:
    async with api.resources.database.begin() as tx:
        person = (await make_members.member(tx)).id
        pair = await open_login(tx, kind="member", subject_id=person)
    return Scene(
        MemberCaller(person, pair.session_id),
        {"refreshToken": pair.refresh_token, "everywhere": False},
    )
