"""Who is held out, who belongs to which audience, and what a model is asked with."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.playbooks.tables import Arm, Audience, Level, PlaybookState
from app.segments import Stage

BUCKETS: Final = 1_000
HOLDOUT_PERMILLE: Final = 50
"""Held out of everything unless staff say otherwise: 5%, the comparison for the whole playbook."""
LEVEL_HOLDOUT_PERMILLE: Final = 50
"""Held out of each level besides, drawn anew each time: the comparison for that level."""
HORIZON_DAYS: Final = 45
"""How long after an action an order counts as its effect."""
TASK_LASTS: Final = timedelta(hours=72)
"""Within which a task ought to be done: then the next level begins, or the alert ends."""
POINT_FEN: Final = 1
"""What a point costs: 100 points are one yuan."""
ALONE_FEN: Final = 1_000
"""What one alert may bring one member, in points and coupons together, by a playbook that nobody
but its author has looked at; a community may choose another."""
MOST_ALONE_FEN: Final = 10_000
"""More than that no community lets one person answer for."""
ALONE_KEY: Final = "playbook_alone_fen"
UNKNOWN_EFFECT: Final = 0.05
"""The share of an expected loss that a measure is taken to save where nothing is known of it, so
that alerts with and without a model stand in one queue."""
LEAST_IN_AN_ARM: Final = 200
"""Members in each arm, all with their horizon over, from which a model of the effect is tried."""

FEATURES: Final = (
    "probability",
    "value_fen",
    "recency_days",
    "orders",
    "orders_30",
    "net_90_fen",
    "average_order_fen",
    "orders_180",
    "discount_share_180",
    "coupons_used_180",
    "sessions_28",
    "sessions_28_before",
    "messages_opened_90",
)
"""What is kept of a member at the instant of an action, and asked of open alerts: one order for
both. Unknown ones are null."""

_AUDIENCES: Final[Mapping[Stage, Audience]] = {
    Stage.ONBOARDING: Audience.NEWCOMER,
    Stage.NEW_UNCONVERTED: Audience.NEWCOMER,
    Stage.LOW_FREQUENCY: Audience.LOW_FREQUENCY,
    Stage.POTENTIAL: Audience.POTENTIAL,
    Stage.LAPSED_HIGH_VALUE: Audience.LAPSED_HIGH_VALUE,
    Stage.VIP: Audience.VIP,
}

MOVES: Final[Mapping[PlaybookState, frozenset[PlaybookState]]] = {
    PlaybookState.DRAFT: frozenset({PlaybookState.ACTIVE, PlaybookState.RETIRED}),
    PlaybookState.ACTIVE: frozenset({PlaybookState.RETIRED}),
    PlaybookState.RETIRED: frozenset(),
}


def audience_of(stage: Stage | None) -> Audience:
    """The audience of a member in this stage; members without one are among the others.

    >>> audience_of(Stage.ONBOARDING).value, audience_of(Stage.REGULAR).value, audience_of(None)
    ('NEWCOMER', 'OTHERS', <Audience.OTHERS: 'OTHERS'>)
    """
    return Audience.OTHERS if stage is None else _AUDIENCES.get(stage, Audience.OTHERS)


def bucket(experiment_id: UUID, member_id: UUID, level: Level | None = None) -> int:
    """A member's place in an experiment, 0 to 999, or in one of its levels: always the same.

    Places in the whole and in each level are independent draws. The database reckons them alike
    (`sql_bucket`).

    >>> bucket(UUID(int=1), UUID(int=2)), bucket(UUID(int=1), UUID(int=2), Level.L2)
    (802, 224)
    """
    named = b"" if level is None else level.value.encode()
    digest = hashlib.sha256(experiment_id.bytes + member_id.bytes + named).digest()
    return int.from_bytes(digest[:7], "big") % BUCKETS


def sql_bucket(experiment: str, member: str, level: str | None = None) -> str:
    """The same as an SQL expression of two uuid expressions and one of text."""
    named = "" if level is None else f" || convert_to({level}, 'UTF8')"
    digest = f"sha256(uuid_send({experiment}) || uuid_send({member}){named})"
    first = f"('x' || encode(substr({digest}, 1, 7), 'hex'))"
    return f"(CAST(CAST({first} AS bit(56)) AS bigint) % {BUCKETS})"


def arm_of(place: int, level_place: int, holdout: int, level_holdout: int) -> Arm:
    """The arm by the two places and the shares (in thousandths) that are held out.

    >>> [arm_of(place, 40, 50, 50).value for place in (49, 50)]
    ['CONTROL', 'LEVEL_CONTROL']
    >>> arm_of(50, 50, 50, 50).value
    'TREATED'
    """
    if place < holdout:
        return Arm.CONTROL
    return Arm.LEVEL_CONTROL if level_place < level_holdout else Arm.TREATED


def sql_arm(experiment: str, member: str, level: str, holdout: str, level_holdout: str) -> str:
    """The same as an SQL expression."""
    place = sql_bucket(experiment, member)
    level_place = sql_bucket(experiment, member, level)
    return (
        f"CASE WHEN {place} < {holdout} THEN 'CONTROL' "
        f"WHEN {level_place} < {level_holdout} THEN 'LEVEL_CONTROL' ELSE 'TREATED' END"
    )


def sql_audience(stage: str) -> str:
    """`audience_of` as an SQL expression of a stage."""
    whens = " ".join(f"WHEN '{one.value}' THEN '{to.value}'" for one, to in _AUDIENCES.items())
    return f"CASE {stage} {whens} ELSE '{Audience.OTHERS.value}' END"


def priority_fen(loss_fen: int, value_fen: int, effect: float | None) -> int:
    """What acting on an alert is worth, in fen: by the model's effect, or by what is at stake.

    >>> priority_fen(8_000, 10_000, None), priority_fen(8_000, 10_000, 0.12)
    (400, 1200)
    """
    return round(loss_fen * UNKNOWN_EFFECT if effect is None else value_fen * effect)


def sql_measure(playbook_id: str, level: str, audience: str) -> str:
    """A lateral join `t` of the measure for an audience at a level: its own, or that for OTHERS."""
    return f"""
        LEFT JOIN LATERAL (
            SELECT * FROM playbook_measure one
            WHERE one.playbook_id = {playbook_id} AND one.level = {level}
              AND one.audience IN ({audience}, 'OTHERS')
            ORDER BY one.audience = 'OTHERS' LIMIT 1
        ) t ON true
    """
