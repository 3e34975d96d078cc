"""Reports of partner systems: orders and events, with a verdict on each row."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import strawberry

from app import members, orders
from app.kernel.auth import Role, Scope
from app.kernel.errors import InvalidInput, Locale
from schema.context import Info, note_figures
from schema.enums import describe
from schema.fields import mutation
from schema.guard import partner, staff
from schema.nodes import key_of
from schema.scalars import Fen

describe(
    orders.Channel,
    "Where an order was placed or a member was active.",
    MINI_PROGRAM="The WeChat mini-program.",
    APP="The mobile app.",
    STORE="A shop or the leader's doorstep.",
)
describe(
    orders.ActivityKind,
    "What a member did besides buying.",
    SESSION="The member opened the app; `seconds` is how long they stayed.",
    BROWSE="The member looked at an article or a category.",
    SEARCH="The member searched for something.",
    CART="The member put an article into the cart.",
    SHARE="The member shared something with a neighbour.",
    CHECK_IN="The member checked in.",
    GROUP_POST="The member wrote in the group chat.",
    GROUP_LEAVE="The member left the group chat.",
    MESSAGE_OPEN="The member opened a message of ours.",
    MESSAGE_CLICK="The member followed a link in a message of ours.",
)
describe(
    orders.VerdictStatus,
    "What became of a reported row.",
    STORED="The row was new and is stored.",
    UPDATED="The order was known and moved forward.",
    DUPLICATE="Everything the row says was known already.",
    REJECTED="The row is not stored; code and message say why.",
)
describe(
    members.IdentityKind,
    "By what a person is recognised.",
    WECHAT_OPENID="The openid within one WeChat app, which `app` names.",
    WECHAT_UNIONID="The unionid across a company's WeChat apps.",
    PHONE="A phone number; mainland mobile numbers need no prefix.",
    STORE_CARD="The number of a customer or card in the system that `app` names.",
)


@strawberry.input(description="An identity by which a member is found.")
class IdentityInput:
    kind: members.IdentityKind = strawberry.field(description="What kind of identity it is.")
    app: str = strawberry.field(
        default="", description="The WeChat app or card system; empty for phones."
    )
    value: str = strawberry.field(description="The openid, number or card.")


@strawberry.input(description="Who a row is about: give either of the two.")
class MemberKeyInput:
    id: strawberry.ID | None = strawberry.field(default=None, description="The member's id.")
    identity: IdentityInput | None = strawberry.field(
        default=None, description="An identity of the member's."
    )


@strawberry.input(description="One article of an order.")
class OrderLineInput:
    sku: str = strawberry.field(description="The article's code, up to 64 characters.")
    name: str = strawberry.field(description="The article's name, up to 200 characters.")
    category: str | None = strawberry.field(default=None, description="The article's category.")
    quantity: int = strawberry.field(description="How many, from 1 to 1,000,000.")
    paid_fen: Fen = strawberry.field(
        description="What is paid for the whole quantity, after discounts."
    )


@strawberry.input(description="Money of an order that went back.")
class RefundInput:
    refund_no: str = strawberry.field(
        description="The refund's number, unique within the source; counted once."
    )
    amount_fen: Fen = strawberry.field(description="How much went back.")
    at: datetime = strawberry.field(description="When it went back.")
    line_no: int | None = strawberry.field(
        default=None, description="The line it is for, counted from 1; null for the whole order."
    )
    quantity: int = strawberry.field(default=0, description="How many units came back.")
    reason: str | None = strawberry.field(default=None, description="Why, if known.")


@strawberry.input(
    description="An order as far as it is known; report it again whenever it moves on."
)
class OrderInput:
    member: MemberKeyInput = strawberry.field(description="Who ordered.")
    order_no: str = strawberry.field(description="The order's number, unique within the source.")
    channel: orders.Channel = strawberry.field(description="Where it was placed.")
    placed_at: datetime = strawberry.field(description="When it was placed.")
    lines: list[OrderLineInput] = strawberry.field(
        default_factory=list[OrderLineInput],
        description="Its articles, up to 500; may be left out once the order is stored.",
    )
    refunds: list[RefundInput] = strawberry.field(
        default_factory=list[RefundInput],
        description="What went back, up to 500; those reported before may be left out.",
    )
    discount_fen: Fen = strawberry.field(
        default=Fen(0), description="What discounts took off, for information."
    )
    leader_id: strawberry.ID | None = strawberry.field(
        default=None, description="The leader who served it."
    )
    paid_at: datetime | None = strawberry.field(
        default=None, description="When it was paid; from then on it counts."
    )
    settled_at: datetime | None = strawberry.field(
        default=None, description="When it was delivered and closed."
    )
    cancelled_at: datetime | None = strawberry.field(
        default=None, description="When it was called off; it then counts as never placed."
    )
    promised_at: datetime | None = strawberry.field(
        default=None, description="By when delivery was promised."
    )
    delivered_at: datetime | None = strawberry.field(
        default=None, description="When it was delivered."
    )
    late: bool = strawberry.field(default=False, description="True if delivered late.")
    spoiled: bool = strawberry.field(default=False, description="True if goods were spoiled.")
    complaint: bool = strawberry.field(default=False, description="True if the member complained.")


@strawberry.input(description="A batch of orders of one source.")
class RecordOrdersInput:
    source: str = strawberry.field(
        description="The system that reports, up to 64 characters; numbers are unique within it."
    )
    orders: list[OrderInput] = strawberry.field(description="Up to 1,000 orders.")


@strawberry.input(description="Something a member did.")
class EventInput:
    member: MemberKeyInput = strawberry.field(description="Who did it.")
    event_id: str = strawberry.field(description="The event's own id; it is stored once.")
    kind: orders.ActivityKind = strawberry.field(description="What they did.")
    at: datetime = strawberry.field(description="When.")
    seconds: int = strawberry.field(default=0, description="How long it took, up to a day.")
    channel: orders.Channel | None = strawberry.field(default=None, description="Where.")
    sku: str | None = strawberry.field(default=None, description="The article concerned.")
    category: str | None = strawberry.field(default=None, description="The category concerned.")
    app_version: str | None = strawberry.field(default=None, description="The app's version.")
    touchpoint: str | None = strawberry.field(
        default=None, description="Where in the app, such as home or push."
    )


@strawberry.input(description="A batch of events.")
class RecordEventsInput:
    events: list[EventInput] = strawberry.field(description="Up to 1,000 events.")


@strawberry.type(description="What became of one reported row.")
class RecordVerdict:
    index: int = strawberry.field(description="The row's place in the batch, from 0.")
    status: orders.VerdictStatus = strawberry.field(description="What became of it.")
    code: str | None = strawberry.field(description="A stable code if it was rejected, else null.")
    message: str | None = strawberry.field(description="Why it was rejected, else null.")


@strawberry.type(description="The batch was taken; each row has its verdict.")
class RecordOrdersSuccess:
    verdicts: list[RecordVerdict] = strawberry.field(description="One a row, in their order.")


@strawberry.type(description="The batch was taken; each row has its verdict.")
class RecordEventsSuccess:
    verdicts: list[RecordVerdict] = strawberry.field(description="One a row, in their order.")


def verdict_of(verdict: orders.Verdict, locale: Locale) -> RecordVerdict:
    """The GraphQL value of a verdict."""
    why = verdict.complaint
    return RecordVerdict(
        index=verdict.index,
        status=verdict.status,
        code=None if why is None else why.value,
        message=None if why is None else why.message(locale),
    )


def _member_key(id: strawberry.ID) -> UUID:
    """The key of a member's id; of anything else a key that nobody has, for the row's verdict."""
    try:
        return key_of(id, "Member")
    except InvalidInput:
        return UUID(int=0)


def _whose(given: MemberKeyInput) -> orders.Whose:
    if given.id is not None:
        return orders.Whose(member_id=_member_key(given.id))
    if given.identity is None:
        return orders.Whose()
    identity = given.identity
    return orders.Whose(kind=identity.kind, app=identity.app, value=identity.value)


def _order(given: OrderInput) -> orders.ReportedOrder:
    return orders.ReportedOrder(
        whose=_whose(given.member),
        order_no=given.order_no,
        channel=given.channel,
        placed_at=given.placed_at,
        lines=[
            orders.ReportedLine(line.sku, line.name, line.quantity, line.paid_fen, line.category)
            for line in given.lines
        ],
        refunds=[
            orders.ReportedRefund(
                item.refund_no, item.amount_fen, item.at, item.line_no, item.quantity, item.reason
            )
            for item in given.refunds
        ],
        discount_fen=given.discount_fen,
        leader_id=None if given.leader_id is None else _member_key(given.leader_id),
        paid_at=given.paid_at,
        settled_at=given.settled_at,
        cancelled_at=given.cancelled_at,
        promised_at=given.promised_at,
        delivered_at=given.delivered_at,
        late=given.late,
        spoiled=given.spoiled,
        complaint=given.complaint,
    )


def _event(given: EventInput) -> orders.ReportedEvent:
    return orders.ReportedEvent(
        whose=_whose(given.member),
        event_id=given.event_id,
        kind=given.kind,
        at=given.at,
        seconds=given.seconds,
        channel=given.channel,
        sku=given.sku,
        category=given.category,
        app_version=given.app_version,
        touchpoint=given.touchpoint,
    )


def _audit_size(verdicts: Sequence[orders.Verdict], **facts: str) -> None:
    """Audit how much was reported, not the rows: they hold personal data, and are stored anyway."""
    found = Counter(verdict.status.value for verdict in verdicts)
    note_figures({**facts, "rows": len(verdicts)}, dict(found))


@strawberry.type(description="Reports of partner systems.")
class OrdersMutation:
    @mutation(
        partner(Scope.ORDERS_WRITE) | staff(Role.OWNER),
        RecordOrdersSuccess,
        refusals=[orders.BatchTooLarge, orders.BadSource],
        description="Stores orders, or moves them forward: each row gets its verdict, a bad one "
        "sinks no other, and a batch may be sent again without harm.",
    )
    async def record_orders(self, info: Info, input: RecordOrdersInput) -> RecordOrdersSuccess:
        context = info.context
        rows = [_order(row) for row in input.orders]
        note_figures({"source": input.source, "rows": len(rows)})
        async with context.begin() as tx:
            verdicts = await orders.record_orders(
                tx, vault=context.vault, source=input.source, rows=rows
            )
            _audit_size(verdicts, source=input.source)
        return RecordOrdersSuccess(verdicts=[verdict_of(item, context.locale) for item in verdicts])

    @mutation(
        partner(Scope.EVENTS_WRITE) | staff(Role.OWNER),
        RecordEventsSuccess,
        refusals=[orders.BatchTooLarge],
        description="Stores what members did besides buying: each row gets its verdict, and an "
        "event that was stored before is passed over.",
    )
    async def record_events(self, info: Info, input: RecordEventsInput) -> RecordEventsSuccess:
        context = info.context
        rows = [_event(row) for row in input.events]
        note_figures({"rows": len(rows)})
        async with context.begin() as tx:
            verdicts = await orders.record_events(tx, vault=context.vault, rows=rows)
            _audit_size(verdicts)
        return RecordEventsSuccess(verdicts=[verdict_of(item, context.locale) for item in verdicts])
