"""Drawing a run's cut points and judging every member by them, in set SQL."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Enum,
    Integer,
    MetaData,
    SmallInteger,
    Subquery,
    Table,
    Text,
    Uuid,
    and_,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement

from app import orders
from app.kernel.db import Tx
from app.segments.facts import FACTS
from app.segments.rules import (
    CATEGORY_WINDOW,
    CHURNED_AFTER,
    HIGH_AVERAGE_PERCENTILE,
    ONBOARDING_FOR,
    QUINTILES,
    REGULAR_ORDERS,
    RISING_BROWSES,
    RISING_DENOMINATOR,
    RISING_NUMERATOR,
    RISING_ORDERS,
    SILENT_AFTER,
    CutPoints,
    position,
    vip_position,
)
from app.segments.stages import Stage, StageReason
from app.segments.tables import MemberStage

# Unlike a stored stage, not checked row by row.
_STAGE = Enum(Stage, native_enum=False, length=32)

# What a run found, in the columns of `member_stage` that it compares and writes.
JUDGED = Table(
    "segment_judged",
    MetaData(),
    Column("member_id", Uuid, nullable=False),
    Column("stage", _STAGE, nullable=False),
    Column("reason", Enum(StageReason, native_enum=False, length=32), nullable=False),
    Column("orders", FACTS.c.orders.type, nullable=False),
    Column("last_order_at", DateTime(timezone=True)),
    Column("average_order_fen", FACTS.c.average_order_fen.type),
    Column("orders30", FACTS.c.orders30.type, nullable=False),
    Column("net90", FACTS.c.net90.type, nullable=False),
    Column("rfm_r", SmallInteger),
    Column("rfm_f", SmallInteger),
    Column("rfm_m", SmallInteger),
    Column("orders_digest", FACTS.c.orders_digest.type, nullable=False),
    # How this stands to the row that is in force: its stage, whether there is one, or another, and
    # whether it was made of the same orders.
    Column("before", _STAGE),
    Column("known", Boolean, nullable=False),
    Column("differs", Boolean, nullable=False),
    Column("same_orders", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)
# The columns that make a row worth rewriting, `reason` and facts included.
COMPARED = [
    column.name
    for column in JUDGED.columns
    if column.name not in ("member_id", "before", "known", "differs", "same_orders")
]


async def draw(tx: Tx) -> CutPoints:
    """The cut points of the facts that were gathered."""
    everyone, buyers = (
        await tx.session.execute(select(func.count(), func.count(FACTS.c.last_order_at)))
    ).one()
    if not buyers:
        return CutPoints(None, None, (), (), ())
    fifths = [position(buyers, 100 * fifth // QUINTILES) for fifth in range(1, QUINTILES)]
    ordered = (FACTS.c.recency, FACTS.c.frequency, FACTS.c.monetary)
    high = position(buyers, HIGH_AVERAGE_PERCENTILE)
    row = (
        await tx.session.execute(
            select(
                _nth(FACTS.c.net90, vip_position(everyone), everyone),
                _nth(FACTS.c.average_order_fen, high, buyers),
                *(_nth(column, place, buyers) for column in ordered for place in fifths),
            )
        )
    ).one()
    vip, average, *limits = (int(value) for value in row)
    size = len(fifths)
    return CutPoints(
        # Nobody is a VIP without having spent.
        vip_net90=max(vip, 1),
        high_average=average,
        recency=tuple(limits[:size]),
        frequency=tuple(limits[size : 2 * size]),
        monetary=tuple(limits[2 * size :]),
    )


async def judge(tx: Tx, as_of: datetime, cuts: CutPoints) -> None:
    """Fill the temporary table of judgements; it goes with the transaction."""
    await tx.session.execute(CreateTable(JUDGED))
    found = _verdicts(as_of, cuts)
    differs = or_(
        *(found.c[name].is_distinct_from(getattr(MemberStage, name)) for name in COMPARED)
    )
    same = func.coalesce(found.c.orders_digest == MemberStage.orders_digest, false())
    known = MemberStage.member_id.is_not(None)
    chosen = select(found, MemberStage.stage, known, differs, same)
    names = [column.name for column in JUDGED.columns]
    compared = chosen.outerjoin(MemberStage, MemberStage.member_id == found.c.member_id)
    await tx.session.execute(insert(JUDGED).from_select(names, compared))


def _verdicts(as_of: datetime, cuts: CutPoints) -> Subquery:
    """The member and the compared columns, in the order of the table's."""
    only = _only_category(as_of, cuts)
    reason = reasons(as_of, cuts, only=only.c.category)
    judged = (
        select(FACTS, reason.label("reason"))
        .outerjoin(only, only.c.member_id == FACTS.c.member_id)
        .subquery()
    )
    stage = case(
        {reason.value: stage.value for reason, stage in STAGE_OF.items()}, value=judged.c.reason
    )
    return select(
        judged.c.member_id,
        stage.label("stage"),
        judged.c.reason,
        judged.c.orders,
        judged.c.last_order_at,
        judged.c.average_order_fen,
        judged.c.orders30,
        judged.c.net90,
        (QUINTILES - _over(judged.c.recency, cuts.recency)).label("rfm_r"),
        (1 + _over(judged.c.frequency, cuts.frequency)).label("rfm_f"),
        (1 + _over(judged.c.monetary, cuts.monetary)).label("rfm_m"),
        judged.c.orders_digest,
    ).subquery()


STAGE_OF = {
    StageReason.JUST_REGISTERED: Stage.ONBOARDING,
    StageReason.NO_ORDER_YET: Stage.NEW_UNCONVERTED,
    StageReason.NO_ORDER_FOR_75_DAYS: Stage.CHURNED,
    StageReason.SILENT_WITH_HIGH_AVERAGE: Stage.LAPSED_HIGH_VALUE,
    StageReason.NO_ORDER_FOR_30_DAYS: Stage.SILENT,
    StageReason.TOP_SPEND: Stage.VIP,
    StageReason.BROWSING_RISING: Stage.POTENTIAL,
    StageReason.ORDERS_RISING: Stage.POTENTIAL,
    StageReason.BROWSING_OTHER_CATEGORIES: Stage.POTENTIAL,
    StageReason.FEW_ORDERS: Stage.LOW_FREQUENCY,
    StageReason.STEADY_ORDERS: Stage.REGULAR,
}


def reasons(
    as_of: datetime, cuts: CutPoints, *, only: ColumnElement[str | None]
) -> ColumnElement[str]:
    """The first rule that matches a row of the facts.

    `only` is the one category a member buys, needed of those whom `_undecided` names.
    """
    fact = FACTS.c
    none = fact.last_order_at.is_(None)
    silent = fact.last_order_at <= as_of - SILENT_AFTER
    young = fact.registered_at > as_of - ONBOARDING_FOR
    rules = [
        (and_(none, young), StageReason.JUST_REGISTERED),
        (none, StageReason.NO_ORDER_YET),
        (fact.last_order_at <= as_of - CHURNED_AFTER, StageReason.NO_ORDER_FOR_75_DAYS),
        (
            and_(silent, fact.average_order_fen >= literal(cuts.high_average, BigInteger)),
            StageReason.SILENT_WITH_HIGH_AVERAGE,
        ),
        (silent, StageReason.NO_ORDER_FOR_30_DAYS),
        (_spends_most(cuts), StageReason.TOP_SPEND),
        (_browsing_rising(), StageReason.BROWSING_RISING),
        (_orders_rising(), StageReason.ORDERS_RISING),
        (
            or_(fact.browsed_first != only, fact.browsed_last != only),
            StageReason.BROWSING_OTHER_CATEGORIES,
        ),
        (fact.orders30 < REGULAR_ORDERS, StageReason.FEW_ORDERS),
    ]
    steady = literal(StageReason.STEADY_ORDERS.value, Text)
    return case(*((test, reason.value) for test, reason in rules), else_=steady)


def _only_category(as_of: datetime, cuts: CutPoints) -> Subquery:
    """The category of undecided members who bought one only; goods without one are unknown.

    Lines are many and few members depend on them, so they are looked at last.
    """
    undecided = select(FACTS.c.member_id).where(_undecided(as_of, cuts))
    bought = (
        orders.counted_orders(as_of)
        .where(
            orders.Order.paid_at >= as_of - CATEGORY_WINDOW,
            orders.Order.member_id.in_(undecided),
        )
        # First the orders, then their lines: else all lines those members ever bought.
        .cte("bought")
        .prefix_with("MATERIALIZED")
    )
    line = orders.OrderLine
    first = func.min(line.category)
    return (
        select(bought.c.member_id, first.label("category"))
        .join(line, and_(line.member_id == bought.c.member_id, line.order_id == bought.c.id))
        .where(line.category.is_not(None))
        .group_by(bought.c.member_id)
        .having(first == func.max(line.category))
        .subquery()
    )


def _undecided(as_of: datetime, cuts: CutPoints) -> ColumnElement[bool]:
    """Whom no earlier rule decides and who browsed some category."""
    return and_(
        FACTS.c.last_order_at > as_of - SILENT_AFTER,
        FACTS.c.browsed_first.is_not(None),
        not_(_spends_most(cuts)),
        not_(_browsing_rising()),
        not_(_orders_rising()),
    )


def _spends_most(cuts: CutPoints) -> ColumnElement[bool]:
    return FACTS.c.net90 >= literal(cuts.vip_net90, BigInteger)


def _browsing_rising() -> ColumnElement[bool]:
    return _rising(FACTS.c.browses, FACTS.c.browses_before, RISING_BROWSES)


def _orders_rising() -> ColumnElement[bool]:
    return _rising(FACTS.c.orders30, FACTS.c.orders30_before, RISING_ORDERS)


def _rising(now: ColumnElement[int], before: ColumnElement[int], least: int) -> ColumnElement[bool]:
    return and_(now >= least, now * RISING_DENOMINATOR >= before * RISING_NUMERATOR)


def _nth(column: ColumnElement[int], place: int, count: int) -> ColumnElement[int]:
    """The value at a place of the ascending order; half a place back keeps clear of rounding."""
    return func.percentile_disc((place - 0.5) / count).within_group(column)


def _over(column: ColumnElement[int], limits: tuple[int, ...]) -> ColumnElement[int]:
    """How many of the limits a value exceeds; null for a null value or without limits."""
    if not limits:
        return cast(null(), Integer)
    total = cast(column > limits[0], Integer)
    for limit in limits[1:]:
        total = total + cast(column > limit, Integer)
    return total
