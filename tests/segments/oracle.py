"""The stages by the slow way: plain Python over each person's history, written from the rules."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

DAY = timedelta(days=1)


@dataclass
class Bought:
    paid_at: datetime
    total: int
    category: str | None = "fruit"
    cancelled_at: datetime | None = None
    refunds: list[tuple[datetime, int]] = field(default_factory=list)


@dataclass
class Person:
    registered_at: datetime
    orders: list[Bought] = field(default_factory=list)
    browses: list[tuple[datetime, str | None]] = field(default_factory=list)
    loose_refunds: list[tuple[datetime, int]] = field(default_factory=list)


@dataclass
class Judgement:
    stage: str
    reason: str
    orders: int
    last_order_at: datetime | None
    average_order_fen: int | None
    orders30: int
    net90: int
    rfm: tuple[int, int, int] | None


@dataclass
class Facts:
    registered_at: datetime
    counted: list[tuple[datetime, int, Bought]]
    last: datetime | None
    average: int | None
    net90: int
    recency: int
    frequency: int
    monetary: int
    person: Person


def counted(person: Person, as_of: datetime) -> list[tuple[datetime, int, Bought]]:
    """The orders that count at an instant, by time, with their net."""
    found = []
    for order in person.orders:
        back = sum(amount for at, amount in order.refunds if at < as_of)
        cancelled = order.cancelled_at is not None and order.cancelled_at < as_of
        fully_refunded = back > 0 and back == order.total
        if order.paid_at < as_of and not cancelled and not fully_refunded:
            found.append((order.paid_at, order.total - back, order))
    return sorted(found, key=lambda item: item[0])


def facts(person: Person, as_of: datetime) -> Facts:
    bought = counted(person, as_of)
    last = bought[-1][0] if bought else None

    def net(days: int) -> int:
        since = as_of - days * DAY
        gone = sum(amount for at, amount in person.loose_refunds if since <= at < as_of)
        return sum(value for at, value, _ in bought if at >= since) - gone

    return Facts(
        registered_at=person.registered_at,
        counted=bought,
        last=last,
        average=sum(value for _, value, _ in bought) // len(bought) if bought else None,
        net90=net(90),
        recency=math.floor((as_of - last).total_seconds()) if last else 0,
        frequency=sum(at >= as_of - 365 * DAY for at, _, _ in bought),
        monetary=net(365),
        person=person,
    )


def percentile(values: Sequence[int], percent: int) -> int:
    """The smallest value that at least `percent` of the values do not exceed."""
    for value in sorted(values):
        if Fraction(sum(other <= value for other in values), len(values)) >= Fraction(percent, 100):
            return value
    raise AssertionError("unreachable")


def vip_limit(spends: Sequence[int]) -> int:
    """The spend of the last of the top 12%, rounded up to a whole person; at least one fen."""
    wanted = math.ceil(Fraction(12 * len(spends), 100))
    return max(1, sorted(spends, reverse=True)[wanted - 1])


def fifth(value: int, values: Sequence[int]) -> int:
    """In which fifth, from 1, a value lies; ties in the lowest that any of them reaches."""
    limits = [percentile(values, 20 * step) for step in range(1, 5)]
    return 1 + sum(value > limit for limit in limits)


def rising(now: int, before: int, least: int) -> bool:
    return now >= least and now >= Fraction(3, 2) * before


def stage(fact: Facts, as_of: datetime, *, vip: int, high: int) -> tuple[str, str]:
    if fact.last is None:
        if as_of - fact.registered_at < 7 * DAY:
            return "ONBOARDING", "JUST_REGISTERED"
        return "NEW_UNCONVERTED", "NO_ORDER_YET"
    quiet = as_of - fact.last
    if quiet >= 75 * DAY:
        return "CHURNED", "NO_ORDER_FOR_75_DAYS"
    assert fact.average is not None
    if quiet >= 30 * DAY and fact.average >= high:
        return "LAPSED_HIGH_VALUE", "SILENT_WITH_HIGH_AVERAGE"
    if quiet >= 30 * DAY:
        return "SILENT", "NO_ORDER_FOR_30_DAYS"
    if fact.net90 >= vip:
        return "VIP", "TOP_SPEND"
    return active_stage(fact, as_of)


def active_stage(fact: Facts, as_of: datetime) -> tuple[str, str]:
    seen = [as_of - at for at, _ in fact.person.browses if at < as_of]
    if rising(
        sum(age <= 14 * DAY for age in seen),
        sum(14 * DAY < age <= 28 * DAY for age in seen),
        3,
    ):
        return "POTENTIAL", "BROWSING_RISING"
    ages = [as_of - at for at, _, _ in fact.counted]
    month = sum(age <= 30 * DAY for age in ages)
    if rising(month, sum(30 * DAY < age <= 60 * DAY for age in ages), 2):
        return "POTENTIAL", "ORDERS_RISING"
    categories = {
        order.category for at, _, order in fact.counted if order.category and as_of - at <= 90 * DAY
    }
    looked = {
        category
        for at, category in fact.person.browses
        if category and timedelta() < as_of - at <= 30 * DAY
    }
    if len(categories) == 1 and looked - categories:
        return "POTENTIAL", "BROWSING_OTHER_CATEGORIES"
    return ("LOW_FREQUENCY", "FEW_ORDERS") if month < 2 else ("REGULAR", "STEADY_ORDERS")


def judge(people: Sequence[Person], as_of: datetime) -> list[Judgement | None]:
    """Everyone's judgement; None for those who are not there yet."""
    known = [facts(person, as_of) for person in people]
    there = [fact for fact in known if fact.counted or fact.registered_at < as_of]
    buyers = [fact for fact in there if fact.counted]
    vip = vip_limit([fact.net90 for fact in there]) if there else 0
    high = percentile([fact.average or 0 for fact in buyers], 80) if buyers else 0
    found: list[Judgement | None] = []
    for fact in known:
        if not fact.counted and fact.registered_at >= as_of:
            found.append(None)
            continue
        name, reason = stage(fact, as_of, vip=vip, high=high)
        scores = None
        if fact.counted:
            scores = (
                6 - fifth(fact.recency, [other.recency for other in buyers]),
                fifth(fact.frequency, [other.frequency for other in buyers]),
                fifth(fact.monetary, [other.monetary for other in buyers]),
            )
        recent = sum(at >= as_of - 30 * DAY for at, _, _ in fact.counted)
        found.append(
            Judgement(
                stage=name,
                reason=reason,
                orders=len(fact.counted),
                last_order_at=fact.last,
                average_order_fen=fact.average,
                orders30=recent,
                net90=fact.net90,
                rfm=scores,
            )
        )
    return found


def silences(person: Person, as_of: datetime) -> list[tuple[datetime, datetime | None]]:
    """Each silence of 30 days or more, with the payment that ended it."""
    times = [at for at, _, _ in counted(person, as_of)]
    found: list[tuple[datetime, datetime | None]] = []
    for at, following in zip(times, [*times[1:], None][: len(times)], strict=True):
        falls_silent = at + 30 * DAY
        if (following or as_of) >= falls_silent:
            found.append((falls_silent, following))
    return found
