"""Playbooks, what they did for whom, and the models that tell who is persuaded by it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.kernel.table import Json, Table


class PlaybookState(StrEnum):
    """Where a version of a playbook stands; only an ACTIVE one answers alerts."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"


class Level(StrEnum):
    """The levels of an alert that are answered."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"


class Audience(StrEnum):
    """Whom a measure is for, by stage of the life cycle; OTHERS is everyone without one."""

    NEWCOMER = "NEWCOMER"
    LOW_FREQUENCY = "LOW_FREQUENCY"
    POTENTIAL = "POTENTIAL"
    LAPSED_HIGH_VALUE = "LAPSED_HIGH_VALUE"
    VIP = "VIP"
    OTHERS = "OTHERS"


class MeasureKind(StrEnum):
    """What is done."""

    MESSAGE = "MESSAGE"
    COUPON = "COUPON"
    POINTS = "POINTS"
    TASK = "TASK"
    NOTHING = "NOTHING"


class Arm(StrEnum):
    """On which side of the experiment a member's action lies."""

    TREATED = "TREATED"
    # Held out of the whole playbook, at every level.
    CONTROL = "CONTROL"
    # Held out of this level only.
    LEVEL_CONTROL = "LEVEL_CONTROL"


class ActionOutcome(StrEnum):
    """What became of an action."""

    DONE = "DONE"
    HELD_OUT = "HELD_OUT"
    # The playbook treats the persuadable only, and this member is not among them.
    LEFT_ALONE = "LEFT_ALONE"
    NOTHING = "NOTHING"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    BATCH_NOT_ACTIVE = "BATCH_NOT_ACTIVE"
    VALIDITY_OVER = "VALIDITY_OVER"
    AT_LIMIT = "AT_LIMIT"
    MEMBER_NOT_ACTIVE = "MEMBER_NOT_ACTIVE"


class TaskState(StrEnum):
    """Where a task of a person stands."""

    OPEN = "OPEN"
    DONE = "DONE"
    # The alert ended before anybody spoke to the member.
    CANCELLED = "CANCELLED"


class TaskResult(StrEnum):
    """What came of speaking to a member."""

    REACHED = "REACHED"
    NOT_REACHED = "NOT_REACHED"
    DECLINED = "DECLINED"


class RankedBy(StrEnum):
    """What an alert's place in the queue goes by."""

    UPLIFT = "UPLIFT"
    EXPECTED_LOSS = "EXPECTED_LOSS"


class Playbook(Table):
    """One version of a playbook. Its line is what staff name; a version is never changed.

    Versions with the same shares held out are one experiment: a member who is held out stays so.
    """

    __tablename__ = "playbook"
    __table_args__ = (
        Index(None, "line_id", "version", unique=True),
        Index(
            "uq_playbook_active",
            "community_id",
            unique=True,
            postgresql_where=text("state = 'ACTIVE'"),
            postgresql_nulls_not_distinct=True,
        ),
        Index(None, "ready_key", unique=True, postgresql_where=text("ready_key IS NOT NULL")),
        CheckConstraint("holdout_permille BETWEEN 0 AND 500", name="holdout"),
        CheckConstraint("level_holdout_permille BETWEEN 0 AND 500", name="level_holdout"),
        CheckConstraint("horizon_days BETWEEN 7 AND 180", name="horizon"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint("state = 'DRAFT' OR activated_at IS NOT NULL", name="activated"),
        CheckConstraint("(state = 'RETIRED') = (retired_at IS NOT NULL)", name="retired"),
        CheckConstraint("approved_by <> created_by OR approved_alone", name="four_eyes"),
        CheckConstraint("(approved_by IS NULL) = (approved_at IS NULL)", name="approved"),
        CheckConstraint(
            "state <> 'ACTIVE' OR NOT needs_approval OR approved_by IS NOT NULL",
            name="approved_first",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[UUID]
    version: Mapped[int]
    experiment_id: Mapped[UUID]
    name: Mapped[str]
    # None: for every community that has none of its own.
    community_id: Mapped[UUID | None] = mapped_column(ForeignKey("community.id"))
    # Of 1,000 members, how many are held out of everything; and how many of each level besides.
    holdout_permille: Mapped[int]
    level_holdout_permille: Mapped[int]
    # How long after an action an order counts as its effect.
    horizon_days: Mapped[int]
    persuadable_only: Mapped[bool] = mapped_column(Boolean, server_default=false())
    state: Mapped[PlaybookState]
    # Names a playbook that comes with the product (ready.py), so that it is made once.
    ready_key: Mapped[str | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime]
    # Whether it gives more than its author alone may answer for (approving.py).
    needs_approval: Mapped[bool] = mapped_column(Boolean, server_default=false())
    approved_by: Mapped[UUID | None]
    approved_at: Mapped[datetime | None]
    # Approved by who wrote it, in a house where one person does everything.
    approved_alone: Mapped[bool] = mapped_column(Boolean, server_default=false())
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class PlaybookMeasure(Table):
    """What a playbook does at a level for an audience."""

    __tablename__ = "playbook_measure"
    __table_args__ = (
        CheckConstraint("(kind = 'COUPON') = (batch_id IS NOT NULL)", name="batch"),
        CheckConstraint("(kind = 'POINTS') = (points IS NOT NULL)", name="points"),
        CheckConstraint("points BETWEEN 1 AND 100000", name="amount"),
        CheckConstraint(
            "(kind IN ('MESSAGE', 'TASK')) = (text_zh IS NOT NULL) "
            "AND (text_zh IS NULL) = (text_en IS NULL)",
            name="text",
        ),
        CheckConstraint("contact_fen >= 0", name="contact"),
        CheckConstraint("kind = 'TASK' OR NOT for_leader", name="leader"),
    )

    playbook_id: Mapped[UUID] = mapped_column(ForeignKey("playbook.id"), primary_key=True)
    level: Mapped[Level] = mapped_column(primary_key=True)
    audience: Mapped[Audience] = mapped_column(primary_key=True)
    kind: Mapped[MeasureKind]
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("coupon_batch.id"))
    points: Mapped[int | None]
    # A message's words, or a task's script.
    text_zh: Mapped[str | None]
    text_en: Mapped[str | None]
    # What reaching one member costs beside what is given: a text message, a call.
    contact_fen: Mapped[int] = mapped_column(server_default=text("0"))
    # A task for the community's leader; else for staff.
    for_leader: Mapped[bool] = mapped_column(Boolean, server_default=false())


class PlaybookAction(Table):
    """What was done, or not done, about one level of one alert; there is never a second.

    `features` are what was known of the member at that instant (see features.py).
    """

    __tablename__ = "playbook_action"
    __table_args__ = (
        Index(None, "playbook_id", "at"),
        Index(None, "experiment_id", "member_id", "at"),
        CheckConstraint("(arm = 'TREATED') <> (outcome = 'HELD_OUT')", name="held_out"),
        CheckConstraint("coupon_id IS NULL OR outcome = 'DONE'", name="coupon"),
        CheckConstraint("cost_fen >= 0", name="cost"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(primary_key=True)
    level: Mapped[Level] = mapped_column(primary_key=True)
    playbook_id: Mapped[UUID] = mapped_column(ForeignKey("playbook.id"))
    experiment_id: Mapped[UUID]
    audience: Mapped[Audience]
    arm: Mapped[Arm]
    kind: Mapped[MeasureKind]
    outcome: Mapped[ActionOutcome]
    # Whether the policy would have left the member alone; the same in every arm.
    left_alone: Mapped[bool]
    coupon_id: Mapped[UUID | None]
    # The contact and the points; what a coupon costs shows in the orders.
    cost_fen: Mapped[int] = mapped_column(server_default=text("0"))
    features: Mapped[Json]
    at: Mapped[datetime]


class PlaybookMessage(Table):
    """A message that a playbook sent; the member sees it."""

    __tablename__ = "playbook_message"
    __table_args__ = (Index(None, "member_id", "alert_id", "level", unique=True),)

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    alert_id: Mapped[UUID]
    level: Mapped[Level]
    text_zh: Mapped[str]
    text_en: Mapped[str]
    sent_at: Mapped[datetime]


class PlaybookTask(Table):
    """That somebody should speak to a member: staff, or the leader of the member's community."""

    __tablename__ = "playbook_task"
    __table_args__ = (
        Index(None, "id", unique=True),
        Index(None, "member_id", "alert_id", "level", unique=True),
        Index("ix_playbook_task_queue", "state", "community_id", "due_at", "id"),
        CheckConstraint("(state = 'OPEN') = (closed_at IS NULL)", name="closed"),
        CheckConstraint("(state = 'DONE') = (result IS NOT NULL)", name="result_when_done"),
        CheckConstraint("(state = 'DONE') = (closed_by IS NOT NULL)", name="by_somebody"),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    alert_id: Mapped[UUID]
    level: Mapped[Level]
    community_id: Mapped[UUID] = mapped_column(ForeignKey("community.id"))
    for_leader: Mapped[bool]
    reasons: Mapped[list[Json]] = mapped_column(JSONB)
    script_zh: Mapped[str]
    script_en: Mapped[str]
    state: Mapped[TaskState]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[UUID | None]
    result: Mapped[TaskResult | None]
    note: Mapped[str | None]


class UpliftModel(Table):
    """A model of an experiment's effect, with how well it ranks members it was not fitted on."""

    __tablename__ = "uplift_model"
    __table_args__ = (
        Index(None, "version", unique=True),
        Index(
            "uq_uplift_model_in_force",
            "experiment_id",
            unique=True,
            postgresql_where=text("in_force"),
        ),
        # Nobody is ranked by a model that is no better than chance.
        CheckConstraint("NOT in_force OR qini_low > 0", name="better_than_chance"),
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    experiment_id: Mapped[UUID]
    version: Mapped[str]
    treated: Mapped[int]
    control: Mapped[int]
    mean_effect: Mapped[float] = mapped_column(Double)
    qini: Mapped[float] = mapped_column(Double)
    qini_low: Mapped[float] = mapped_column(Double)
    qini_high: Mapped[float] = mapped_column(Double)
    manifest: Mapped[Json]
    sha256: Mapped[str]
    artifact: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    in_force: Mapped[bool]
    created_at: Mapped[datetime]


class AlertRank(Table):
    """Where an open alert stands in the queue: by the effect of acting, or by what is at stake."""

    __tablename__ = "alert_rank"
    __table_args__ = (
        Index(None, "priority_fen", "alert_id"),
        CheckConstraint(
            "(ranked_by = 'UPLIFT') = (effect IS NOT NULL AND model_id IS NOT NULL)", name="by"
        ),
    )

    member_id: Mapped[UUID] = mapped_column(ForeignKey("member.id"), primary_key=True)
    alert_id: Mapped[UUID]
    probability: Mapped[float] = mapped_column(Double)
    # Net revenue to expect of the member within the horizon, as before.
    value_fen: Mapped[int]
    loss_fen: Mapped[int]
    effect: Mapped[float | None] = mapped_column(Double)
    model_id: Mapped[UUID | None] = mapped_column(ForeignKey("uplift_model.id"))
    ranked_by: Mapped[RankedBy]
    priority_fen: Mapped[int]
    at: Mapped[datetime]
