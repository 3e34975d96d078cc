"""A neighbourhood with a drop about to be stormed, seeded past the API; and what is asked of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import insert

from app import staff, tiers
from app.kernel.auth import MemberCaller, Role, Scope, StaffCaller, TokenKeys, open_session
from app.kernel.auth.sessions import LIFETIME, LoginSession
from app.kernel.config import Settings
from app.kernel.db import Database
from schema.nodes import global_id
from tests.drops.claimants import members, open_drop

HOME = """{ me { nickname community { name } tier { code } points { balance pending }
    coupons(first: 5) { nodes { status expiresAt template { name value } } } }
  drops(first: 5) { nodes { id title state remaining } } }"""
CLAIM = """mutation($drop: ID!, $key: String!) {
  claimDrop(input: {dropId: $drop, idempotencyKey: $key}) { __typename
    ... on ClaimDropSuccess { claim { coupon { id } } } ... on UserError { code } } }"""
REDEEM = """mutation($coupon: ID!, $ref: String!, $key: String!) {
  redeemCoupon(input: {couponId: $coupon, orderRef: $ref, idempotencyKey: $key,
    lines: [{sku: "melon", unitFen: 9000}]}) { __typename
    ... on RedeemCouponSuccess { discountFen } ... on UserError { code } } }"""
CHECK_IN = """mutation($key: String!) { checkIn(input: {idempotencyKey: $key}) { __typename
    ... on CheckInSuccess { earned } ... on UserError { code } } }"""
ADJUST = """mutation($member: ID!, $amount: Points!, $key: String!, $reason: String! = "a gift") {
  adjustPoints(input: {memberId: $member, amount: $amount, reason: $reason,
    idempotencyKey: $key}) { __typename ... on UserError { code } } }"""
RECORD = """mutation($orders: [OrderInput!]!) {
  recordOrders(input: {source: "shop", orders: $orders}) { __typename
    ... on RecordOrdersSuccess { verdicts { status code } } ... on UserError { code } } }"""
UPDATES = """subscription($after: String) {
  myUpdates(after: $after) { cursor kind facts } }"""
WATCH = """subscription($drop: ID!, $after: String) {
  dropUpdated(dropId: $drop, after: $after) { cursor drop { state remaining } } }"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who there is, and what they prove it by."""

    members: list[UUID]
    tokens: list[str]
    boss: str
    partner: str
    drop: UUID
    stock: int

    def member(self, index: int) -> str:
        """A member's opaque id."""
        return global_id("Member", self.members[index])

    @property
    def drop_id(self) -> str:
        """The drop's opaque id."""
        return global_id("Drop", self.drop)

    def order(self, index: int, number: str) -> dict[str, object]:
        """A member's order of 100 yuan, delivered and closed."""
        at = datetime.now(UTC).isoformat()
        line = {"sku": "melon", "name": "Melon", "quantity": 1, "paidFen": 10_000}
        instants = {"placedAt": at, "paidAt": at, "settledAt": at}
        who = {"id": self.member(index)}
        return {"member": who, "orderNo": number, "channel": "APP", "lines": [line], **instants}


async def seed(url: str, *, people: int = 60, stock: int = 40) -> Scene:
    """Members with sessions, an owner, a partner's key and an open drop."""
    database = Database(url)
    try:
        ids = await members(database, people)
        drop = await open_drop(database, stock=stock)
        return await _signed_in(database, ids, drop.id, stock)
    finally:
        await database.close()


async def _signed_in(database: Database, ids: list[UUID], drop_id: UUID, stock: int) -> Scene:
    keys = TokenKeys.from_settings(Settings(env="test"))
    sessions = [uuid4() for _ in ids]
    async with database.begin() as tx:
        rows = [
            {
                "id": session,
                "subject_kind": "member",
                "subject_id": one,
                "opened_at": tx.now,
                "expires_at": tx.now + LIFETIME,
            }
            for one, session in zip(ids, sessions, strict=True)
        ]
        await tx.session.execute(insert(LoginSession), rows)
        await tiers.ensure_tiers(tx)
        account = await staff.create_account(
            tx, login=f"owner-{drop_id}", name="Owner", role=Role.OWNER, password_hash="none"
        )
        pair = await open_session(tx, kind="staff", subject_id=account.id)
        partner = await staff.create_api_key(tx, name=f"shop-{drop_id}", scopes=list(Scope))
        boss = keys.sign(StaffCaller(account.id, pair.session_id, Role.OWNER), tx.now)
        tokens = [
            keys.sign(MemberCaller(one, session), tx.now)
            for one, session in zip(ids, sessions, strict=True)
        ]
    return Scene(ids, tokens, boss, partner, drop_id, stock)
