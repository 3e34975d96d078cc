"""Commands that bring points: rewards, orders, check-ins, staff's gifts."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from app.kernel.clock import business_day
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.members import MemberNotActive
from app.points.errors import AlreadyCheckedIn
from app.points.events import MemberCheckedIn
from app.points.ledger import Grant, Sheet, close_sheet, credit, open_sheet
from app.points.queries import NOWHERE, Place, last_check_in, place_of, places_by_member
from app.points.rules import (
    CHECK_IN_RULE,
    COMEBACK_PERCENT,
    COMEBACK_RULE,
    PURCHASE_RULE,
    REFUND_WINDOW,
    OrderFacts,
    best_multiplier,
    check_in_points,
    check_in_settings,
    expiry_of,
    expiry_rule,
    purchase_points,
)
from app.points.tables import CheckIn, Currency, Source

# An order that settles after its lots were made: now it is known when they are due and end.
_SETTLED = text("""
UPDATE points_lot l SET available_at = s.available_at, expires_at = s.expires_at
FROM unnest(CAST(:members AS uuid[]), CAST(:orders AS uuid[]), CAST(:sources AS text[]),
    CAST(:available AS timestamptz[]), CAST(:expires AS timestamptz[]))
    AS s(member_id, order_id, source, available_at, expires_at)
WHERE l.member_id = s.member_id AND l.order_id = s.order_id AND l.source = s.source
  AND l.currency = 'POINTS' AND l.status = 'PENDING' AND l.available_at IS NULL
""")


async def earn(
    tx: Tx,
    *,
    member_id: UUID,
    amount: int,
    source: Source,
    rule: str,
    subject: str,
    currency: Currency = Currency.POINTS,
    available_at: datetime | None = None,
    expires_at: datetime | None = None,
    order_id: UUID | None = None,
) -> UUID | None:
    """Give a member points once for this rule and subject; answers the lot, None if it was given.

    Without `available_at` they are active at once; without `expires_at` they end by the source's
    rule. A debt is settled first. Raises MemberNotFound, InvalidInput for an amount under 1.
    """
    if amount < 1:
        raise InvalidInput(field="amount", reason="at least 1", reason_zh="至少为1")
    place = await place_of(tx, member_id)
    sheet = await open_sheet(tx, currency, [member_id])
    rule_of_end = expiry_rule(place.settings, source)
    lot = await _reward(
        tx,
        sheet,
        Grant(
            id=tx.new_id(),
            member_id=sheet.of(member_id),
            source=source,
            rule=rule,
            subject=subject,
            amount=amount,
            earned_at=tx.now,
            available_at=available_at or tx.now,
            expires_at=expires_at or expiry_of(rule_of_end, available_at or tx.now, place.zone),
            order_id=order_id,
        ),
    )
    await close_sheet(tx, sheet)
    return lot


async def earn_for_order(tx: Tx, order: OrderFacts) -> None:
    """Bring the points of one order up to what is known of it; see `earn_for_orders`."""
    await earn_for_orders(tx, [order])


async def earn_for_orders(tx: Tx, orders: Iterable[OrderFacts]) -> int:
    """Give pending points for paid orders and date those that have settled; answers lots made.

    Idempotent per order and rule: call it at payment, at settlement and as often as events are
    delivered. Points are released seven days after settlement by `release_due`, or here if that
    has passed. Orders that were cancelled bring nothing; refunds are `claw_back_order`'s.

    A silence episode open when the order was created makes a comeback: the part of the points
    beyond the order's own multiplier is a lot of its own, once an episode and again after it was
    taken back in full. Of two orders the first to be paid, that is the first call, gets it.
    """
    live = [
        order
        for order in {order.order_id: order for order in orders}.values()
        if not order.cancelled
    ]
    members = {order.member_id for order in live}
    if not live:
        return 0
    places = await places_by_member(tx, members)
    sheet = await open_sheet(tx, Currency.POINTS, members)
    grants: list[Grant] = []
    for order in sorted(live, key=lambda order: (order.paid_at, order.order_id)):
        theirs = replace(order, member_id=sheet.of(order.member_id))
        grants += _grants(tx, theirs, places.get(order.member_id, NOWHERE))
    due = [grant for grant in grants if grant.amount > 0]
    made = await credit(tx, sheet, _first_of_each_episode(due))
    # All of them: a multiplier that has changed since must not leave a lot of then undated.
    await _date_settled(tx, grants)
    await close_sheet(tx, sheet)
    return len(made)


async def check_in(tx: Tx, *, member_id: UUID) -> CheckIn:
    """Check the member in for today's business day of their community, with the streak's bonus.

    Raises AlreadyCheckedIn, MemberNotFound, MemberNotActive.
    """
    place = await place_of(tx, member_id)
    if not place.active:
        raise MemberNotActive()
    sheet = await open_sheet(tx, Currency.POINTS, [member_id])
    member_id = sheet.of(member_id)
    day = business_day(tx.now, place.zone)
    last = (await last_check_in(tx, [member_id])).get(member_id)
    if last is not None and last.day >= day:
        raise AlreadyCheckedIn()
    streak = last.streak + 1 if last and last.day == day - timedelta(days=1) else 1
    points = check_in_points(streak, check_in_settings(place.settings))
    given = {"member_id": member_id, "day": day, "streak": streak, "points": points, "at": tx.now}
    won = await tx.session.scalar(
        insert(CheckIn).values(given).on_conflict_do_nothing().returning(CheckIn.streak)
    )
    if won is None:
        raise AlreadyCheckedIn()
    if points:
        await _reward(tx, sheet, _check_in_grant(tx, member_id, day.isoformat(), points, place))
    await close_sheet(tx, sheet)
    tx.emit(MemberCheckedIn(member_id=member_id, day=day.isoformat(), streak=streak))
    return CheckIn(**given)


async def _reward(tx: Tx, sheet: Sheet, grant: Grant) -> UUID | None:
    made = await credit(tx, sheet, [grant])
    return grant.id if grant.id in made else None


def _check_in_grant(tx: Tx, member_id: UUID, day: str, points: int, place: Place) -> Grant:
    return Grant(
        id=tx.new_id(),
        member_id=member_id,
        source=Source.CHECK_IN,
        rule=CHECK_IN_RULE,
        subject=day,
        amount=points,
        earned_at=tx.now,
        available_at=tx.now,
        expires_at=expiry_of(expiry_rule(place.settings, Source.CHECK_IN), tx.now, place.zone),
    )


def _grants(tx: Tx, order: OrderFacts, place: Place) -> list[Grant]:
    """What an order may bring; of an amount of 0 or less nothing is made."""
    base = purchase_points(order.total_fen, percent=order.multiplier_percent)
    best = best_multiplier([order.multiplier_percent, COMEBACK_PERCENT])
    bonus = purchase_points(order.total_fen, percent=best) - base
    grants = [_order_grant(tx, order, Source.PURCHASE, PURCHASE_RULE, base, place)]
    if order.episode_id is not None:
        grants.append(_order_grant(tx, order, Source.COMEBACK, COMEBACK_RULE, bonus, place))
    return grants


def _order_grant(
    tx: Tx, order: OrderFacts, source: Source, rule: str, amount: int, place: Place
) -> Grant:
    due = None if order.settled_at is None else order.settled_at + REFUND_WINDOW
    ends = expiry_rule(place.settings, source)
    return Grant(
        id=tx.new_id(),
        member_id=order.member_id,
        source=source,
        rule=rule,
        subject=str(order.order_id),
        amount=amount,
        earned_at=order.paid_at,
        available_at=due,
        expires_at=None if due is None else expiry_of(ends, due, place.zone),
        order_id=order.order_id,
        episode_id=order.episode_id if source is Source.COMEBACK else None,
    )


def _first_of_each_episode(grants: Sequence[Grant]) -> list[Grant]:
    """Grants come by payment: a later order of the same episode has no bonus."""
    seen: set[UUID] = set()
    kept: list[Grant] = []
    for grant in grants:
        if grant.episode_id is not None and grant.episode_id in seen:
            continue
        if grant.episode_id is not None:
            seen.add(grant.episode_id)
        kept.append(grant)
    return kept


async def _date_settled(tx: Tx, grants: Sequence[Grant]) -> None:
    dated = [grant for grant in grants if grant.available_at is not None]
    if dated:
        await tx.session.execute(
            _SETTLED,
            {
                "members": [grant.member_id for grant in dated],
                "orders": [grant.order_id for grant in dated],
                "sources": [grant.source.value for grant in dated],
                "available": [grant.available_at for grant in dated],
                "expires": [grant.expires_at for grant in dated],
            },
        )
