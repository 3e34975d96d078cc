"""Neutral tables of a world as rows of our tables."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import members
from app.kernel.crypto import Vault
from app.simulated import SOURCE, Facts
from cli.simulating.ids import Ids
from simulation import Block, Table
from simulation.baskets import COUPONS

# What a basket had to be worth for each coupon of the world.
_THRESHOLDS = {name: least for name, least, _ in COUPONS}


@dataclass(frozen=True, slots=True)
class Setting:
    """What turns keys of the world into ours: ids, communities by key, and how to seal."""

    ids: Ids
    homes: Mapping[int, UUID]
    vault: Vault
    wechat_app: str


def facts_of(block: Block, setting: Setting) -> Facts:
    """The rows of a block."""
    ids = setting.ids.members
    placed = {
        order_no: (ids[member], setting.ids.of("order", order_no, at))
        for table in (block.orders, block.order_updates)
        for order_no, member, at in _picked(table, "order_no", "member", "placed_at")
    }
    return Facts(
        members=list(_members(block.members, setting)),
        identities=list(_identities(block.members, setting)),
        leaders=[
            (ids[member], setting.homes[home], since)
            for member, home, since in _picked(block.leaders, "member", "community", "since")
        ],
        orders=list(_orders(block.orders, setting, placed)),
        order_updates=list(_updates(block.order_updates, placed)),
        lines=list(_lines(block.order_lines, placed)),
        refunds=list(_refunds(block.refunds, setting, placed)),
        coupon_uses=list(_uses(block.coupon_uses, setting)),
        activities=list(_activities(block.events, ids)),
    )


def communities_of(
    table: Table, names: list[str], ids: Ids
) -> list[tuple[UUID, str, str, datetime]]:
    """The communities to open: id, name, time zone, instant."""
    columns = ("key", "time_zone", "opened_at")
    return [
        (ids.of("community", key, at), names[key], zone, at)
        for key, zone, at in _picked(table, *columns)
    ]


def _picked(table: Table, *names: str) -> Iterator[tuple[Any, ...]]:
    if not len(table):
        return iter(())
    return Table({name: table[name] for name in names}).rows()


def _members(table: Table, setting: Setting) -> Iterator[tuple[Any, ...]]:
    columns = ("key", "community", "nickname", "locale", "registered_at")
    birthdays = ("birthday_calendar", "birthday_month", "birthday_day")
    for key, home, nickname, locale, at, *birthday in _picked(table, *columns, *birthdays):
        yield (
            *(setting.ids.members[key], setting.homes[home], nickname),
            *(members.MemberStatus.ACTIVE.value, locale, at, at, _birthday(*birthday)),
        )


def _birthday(calendar: str | None, month: int | None, day: int | None) -> str | None:
    if calendar is None:
        return None
    plain = {"calendar": calendar, "month": month, "day": day, "leap_month": False}
    on_feb29 = (calendar, month, day) == ("SOLAR", 2, 29)
    return json.dumps({**plain, "feb29": "FEB28" if on_feb29 else None})


def _identities(table: Table, setting: Setting) -> Iterator[tuple[Any, ...]]:
    kinds = members.IdentityKind
    for key, at, openid, phone in _picked(table, "key", "registered_at", "openid", "phone"):
        for kind, app, value in (
            (kinds.WECHAT_OPENID, setting.wechat_app, openid),
            (kinds.PHONE, "", phone),
        ):
            seal, blind = setting.vault.seal(kind, value), setting.vault.blind(kind, value)
            yield (kind.value, app, blind, seal, setting.ids.members[key], at)


Placed = Mapping[str, tuple[UUID, UUID]]


def _orders(table: Table, setting: Setting, placed: Placed) -> Iterator[tuple[Any, ...]]:
    ids = setting.ids.members
    first = ("order_no", "channel", "leader")
    rest = ("placed_at", "paid_at", "cancelled_at", "promised_at", "delivered_at", "settled_at")
    flags = ("is_late", "is_spoiled", "has_complaint", "complained_at", "discount_fen", "paid_fen")
    for order_no, channel, leader, *others in _picked(table, *first, *rest, *flags):
        yield (*placed[order_no], SOURCE, order_no, channel, ids[leader], *others)


def _updates(table: Table, placed: Placed) -> Iterator[tuple[Any, ...]]:
    columns = ("order_no", "paid_at", "cancelled_at", "delivered_at", "settled_at")
    flags = ("is_late", "is_spoiled", "has_complaint", "complained_at")
    for order_no, *others in _picked(table, *columns, *flags):
        yield (*placed[order_no], *others)


def _lines(table: Table, placed: Placed) -> Iterator[tuple[Any, ...]]:
    """Lines come order by order; they are numbered as they come."""
    before, number = "", 0
    columns = ("sku", "name", "category", "quantity", "paid_fen")
    for order_no, *others in _picked(table, "order_no", *columns):
        number = number + 1 if order_no == before else 1
        before = order_no
        yield (*placed[order_no], number, *others)


def _refunds(table: Table, setting: Setting, placed: Placed) -> Iterator[tuple[Any, ...]]:
    columns = ("refund_no", "order_no", "at", "sku", "quantity", "amount_fen", "reason")
    for refund_no, order_no, at, *others in _picked(table, *columns):
        member, order = placed[order_no]
        refund = setting.ids.of("refund", refund_no, at)
        yield (member, refund, SOURCE, refund_no, order, at, *others)


def _uses(table: Table, setting: Setting) -> Iterator[tuple[Any, ...]]:
    columns = ("member", "order_no", "at", "coupon", "discount_fen")
    for member, order_no, at, name, fen in _picked(table, *columns):
        coupon = setting.ids.of("coupon", order_no, at)
        template, batch = setting.ids.batch_of(name)
        owner = setting.ids.members[member]
        yield (owner, coupon, order_no, at, template, batch, name, _THRESHOLDS[name], fen)


def _activities(table: Table, ids: list[UUID]) -> Iterator[tuple[Any, ...]]:
    if not len(table):
        return iter(())
    kinds = {kind: kind.upper().replace("-", "_") for kind in set(table["kind"].tolist())}
    member, event, at, kind, seconds, *others = (
        [row[0] for row in _picked(table, name)]
        for name in (
            *("member", "event_id", "at", "kind", "seconds", "sku", "category", "channel"),
            "app_version",
        )
    )
    return zip(
        (ids[key] for key in member),
        event,
        at,
        (kinds[word] for word in kind),
        (length or 0 for length in seconds),
        *others,
        strict=True,
    )
