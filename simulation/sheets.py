"""From a week's facts to neutral rows, cut to the time that was asked for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simulation import baskets, traces
from simulation.goods import CATEGORIES, GOODS, shelf
from simulation.lives import Pace, State
from simulation.orders import CHANNELS, REASONS, STATUSES, Orders, changed, status_at
from simulation.places import Places, column
from simulation.roster import Habits, Roster
from simulation.seasons import Days, day_of
from simulation.streams import Bools, Ints, Stream, generator
from simulation.tables import NEVER, Block, Column, Table, codes, instants, named, numbers

FACTS = ("orders", "order_updates", "order_lines", "refunds", "coupon_uses", "events")
_EMPTY = Table({})
_NAMES = [goods.name for goods in GOODS]
_SKUS = [goods.sku for goods in GOODS]


class Week(NamedTuple):
    """A week as it was lived: all that its rows are made of."""

    habits: Habits
    state: State
    pace: Pace
    monday: int
    days: Days
    orders: Orders


def block(**tables: Table) -> Block:
    """A block of the given tables; those not given are empty."""
    names = ("communities", "members", "leaders", *FACTS)
    return Block(**{name: tables.get(name, _EMPTY) for name in names})


def communities(places: Places, span: tuple[int, int]) -> Table:
    """The communities that open in a span."""
    table = Table({**column(places), "opened_at": instants(places.opened)})
    return table.where((places.opened >= span[0]) & (places.opened < span[1]))


def leaders(roster: Roster, part: int, fresh: Bools) -> Table:
    """The leaders among those of a part who are `fresh`."""
    chosen = roster.members_of(part)
    columns: dict[str, Column] = {
        "member": np.arange(chosen.start, chosen.stop),
        "community": roster.community[chosen],
        "since": instants(roster.joined[chosen]),
    }
    return Table(columns).where(fresh & roster.leads[chosen])


def week(seed: int, part: int, number: int, lived: Week, span: tuple[int, int]) -> Block:
    """The rows of one week and part that lie in a span of epoch seconds."""
    rng = generator(seed, Stream.BASKETS, number, part)
    offer = shelf(seed, number, day_of(lived.monday + 3 * 86400).month)
    filled = baskets.fill(rng, lived.orders, lived.habits, offer)
    back = baskets.refunds(rng, lived.orders, filled)
    returned = np.bincount(back.order, back.amount, len(filled.total))
    orders = lived.orders._replace(whole=returned == filled.total)
    base = (number << 32) | (part << 18)
    keys = codes(f"o{seed}-", base + np.arange(len(orders.placed)))
    head = _orders(lived.habits, orders, filled, keys, span[1])
    new = _within(orders.placed, span)
    seen = traces.week_of(
        traces.Scene(
            generator(seed, Stream.TRACES, number, part), *lived[:5], orders, filled, offer
        )
    )
    return block(
        orders=head.where(new),
        order_updates=head.where(changed(orders, *span)),
        order_lines=_lines(filled, keys).where(new[filled.order]),
        refunds=_refunds(seed, base, orders, (filled, back), keys).where(
            _within(orders.refunded[back.order], span)
        ),
        coupon_uses=_coupons(lived.habits, orders, filled, keys, span),
        events=_events(seed, base, lived.habits, seen).where(_within(seen.at, span)),
    )


def _within(at: Ints, span: tuple[int, int]) -> Bools:
    return (at >= span[0]) & (at < span[1])


def _orders(
    habits: Habits, orders: Orders, filled: baskets.Baskets, keys: Column, until: int
) -> Table:
    def seen(at: Ints) -> Column:
        return instants(np.where(at < until, at, NEVER))

    status = status_at(orders, until)
    columns: dict[str, Column] = {
        "order_no": keys,
        "member": habits.key[orders.member],
        "leader": habits.leader[orders.member],
        "community": habits.community[orders.member],
        "channel": named(CHANNELS, orders.channel),
        "status": named(STATUSES, status),
        "placed_at": instants(orders.placed),
        "paid_at": seen(orders.paid),
        "cancelled_at": seen(orders.cancelled),
        "promised_at": instants(orders.promised),
        "delivered_at": seen(orders.delivered),
        "settled_at": seen(orders.settled),
        "complained_at": seen(orders.complained),
        "is_late": orders.late & (orders.promised < until),
        "is_spoiled": orders.spoiled & (orders.settled < until),
        "has_complaint": orders.complained < until,
        "used_coupon": filled.coupon != baskets.NO_COUPON,
        "discount_fen": filled.discount,
        "paid_fen": filled.total,
    }
    return Table(columns)


def _lines(filled: baskets.Baskets, keys: Column) -> Table:
    return Table({"order_no": keys[filled.order], **_goods(filled.sku), **_amounts(filled)})


def _amounts(filled: baskets.Baskets) -> dict[str, Column]:
    return {"quantity": filled.quantity, "paid_fen": filled.paid}


def _goods(sku: Ints) -> dict[str, Column]:
    categories = [goods.category_name for goods in GOODS]
    return {
        "sku": named(_SKUS, sku),
        "name": named(_NAMES, sku),
        "category": named(categories, sku),
    }


def _refunds(
    seed: int,
    base: int,
    orders: Orders,
    back: tuple[baskets.Baskets, baskets.Refunds],
    keys: Column,
) -> Table:
    filled, refunds = back
    columns: dict[str, Column] = {
        "refund_no": codes(f"r{seed}-", base + np.arange(len(refunds.order))),
        "order_no": keys[refunds.order],
        "at": instants(orders.refunded[refunds.order]),
        "sku": named(_SKUS, filled.sku[refunds.line]),
        "quantity": refunds.quantity,
        "amount_fen": refunds.amount,
        "reason": named(REASONS, orders.reason[refunds.order]),
    }
    return Table(columns)


def _coupons(
    habits: Habits,
    orders: Orders,
    filled: baskets.Baskets,
    keys: Column,
    span: tuple[int, int],
) -> Table:
    used = (filled.coupon != baskets.NO_COUPON) & _within(orders.paid, span)
    columns: dict[str, Column] = {
        "order_no": keys[used],
        "member": habits.key[orders.member[used]],
        "at": instants(orders.paid[used]),
        "coupon": named([coupon[0] for coupon in baskets.COUPONS], filled.coupon[used]),
        "discount_fen": filled.discount[used],
    }
    return Table(columns)


def _events(seed: int, base: int, habits: Habits, seen: traces.Traces) -> Table:
    columns: dict[str, Column] = {
        "event_id": codes(f"e{seed}-", base + np.arange(len(seen.at))),
        "member": habits.key[seen.member],
        "at": instants(seen.at),
        "kind": named(traces.KINDS, seen.kind),
        "seconds": numbers(seen.seconds, seen.seconds != traces.NOTHING),
        "sku": _words(_SKUS, seen.sku),
        "category": _words(CATEGORIES, seen.category),
        "channel": _words(CHANNELS, seen.channel),
        "app_version": _versions(seen.version),
    }
    return Table(columns)


def _words(vocabulary: Sequence[str], chosen: Ints) -> Column:
    """Words by index; NOTHING, the last place, is None."""
    return named([*vocabulary, None], chosen)


def _versions(releases: Ints) -> Column:
    if not len(releases):
        return _words((), releases)
    known = releases[releases != traces.NOTHING]
    first, last = (int(known.min()), int(known.max())) if len(known) else (0, 0)
    names = [traces.version_name(release) for release in range(first, last + 1)]
    return _words(names, np.where(releases == traces.NOTHING, len(names), releases - first))
