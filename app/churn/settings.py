"""What a community may set of alerts and signals, as SQL of its `settings`; ours where unset."""

from sqlalchemy import Float, case, cast, func, literal, select
from sqlalchemy.sql.elements import ColumnElement

from app.churn.rules import (
    BAND,
    ESCALATION_HOURS,
    LEAST_SESSIONS,
    LOGINS_FALL,
    PRECISION,
    PRECISION_BOUNDS,
    SIGNAL_SHARE,
    TRIGGER,
    USAGE_FALL,
    SignalEffect,
    TriggerBy,
)
from app.churn.tables import ChurnTrigger
from app.members import Community, Setting, SettingKind


def _number(name: str, default: float, low: float, high: float) -> ColumnElement[float]:
    """The community's own number; one that is none, or out of bounds, is left aside."""
    own = Community.settings[name]
    number = cast(own.astext, Float(53))
    is_number = func.jsonb_typeof(own) == "number"
    fallback = literal(default, Float(53))
    return case(
        (is_number, case((number.between(low, high), number), else_=fallback)), else_=fallback
    )


def own_trigger() -> ColumnElement[float]:
    """The probability that is set, whatever happened: `churn_trigger`."""
    return _number("churn_trigger", TRIGGER, 0, 1)


def precision() -> ColumnElement[float]:
    """The share of alerts that shall be right: `churn_precision`, 0.5 to 0.95."""
    return _number("churn_precision", PRECISION, *PRECISION_BOUNDS)


def follows() -> ColumnElement[bool]:
    """Whether the trigger follows what happened: `churn_trigger_by` is PRECISION."""
    own = Community.settings["churn_trigger_by"].astext
    return func.coalesce(own, TriggerBy.PRECISION.value) != TriggerBy.FIXED.value


def trigger() -> ColumnElement[float]:
    """The probability from which members are at risk.

    The one that was found last for the community's precision, within BAND of its own setting; the
    setting itself where it does not follow, or nothing could be found.
    """
    own = own_trigger()
    latest = (
        select(ChurnTrigger.trigger)
        .where(ChurnTrigger.precision == precision())
        .order_by(ChurnTrigger.as_of.desc())
        .limit(1)
        .correlate(Community)
        .scalar_subquery()
    )
    near = func.least(func.greatest(func.coalesce(latest, own), own - BAND, 0.0), own + BAND, 1.0)
    return case((follows(), near), else_=own)


def escalation_hours() -> ColumnElement[float]:
    """How many hours a level has: `churn_escalation_hours`, 1 to 720."""
    return _number("churn_escalation_hours", ESCALATION_HOURS, 1, 720)


def signal_share() -> ColumnElement[float]:
    """What share of the trigger is left while a signal is open: `churn_signal_share`."""
    return _number("churn_signal_share", SIGNAL_SHARE, 0, 1)


def signal_effect() -> ColumnElement[str]:
    """What a signal does to alerts: `churn_signal_effect`, one of SignalEffect's names."""
    own = Community.settings["churn_signal_effect"].astext
    names = [effect.value for effect in SignalEffect]
    return case((own.in_(names), own), else_=SignalEffect.LOWER.value)


def logins_fall() -> ColumnElement[float]:
    """By how many percent log-ins fall to make a signal: `churn_logins_fall`, 1 to 100."""
    return _number("churn_logins_fall", LOGINS_FALL, 1, 100)


def usage_fall() -> ColumnElement[float]:
    """By how many percent use falls to make a signal: `churn_usage_fall`, 1 to 100."""
    return _number("churn_usage_fall", USAGE_FALL, 1, 100)


def least_sessions() -> ColumnElement[float]:
    """How many sessions a baseline has at least: `churn_signal_sessions`, 1 to 100."""
    return _number("churn_signal_sessions", LEAST_SESSIONS, 1, 100)


def _known(key: str, default: float, low: float, high: float, zh: str, en: str) -> Setting:
    whole = isinstance(default, int)
    kind = SettingKind.INTEGER if whole else SettingKind.NUMBER
    return Setting(key, kind, default, zh, en, low, high)


# The same keys and bounds, for those who set them.
SETTINGS: tuple[Setting, ...] = (
    _known(
        "churn_trigger",
        TRIGGER,
        0,
        1,
        "流失预警触发概率",
        "The probability from which a member counts as at risk.",
    ),
    Setting(
        "churn_trigger_by",
        SettingKind.CHOICE,
        TriggerBy.PRECISION.value,
        "触发概率随实际结果调整，或固定",
        "Whether the trigger follows what happened, or stays where it is set.",
        choices=tuple(by.value for by in TriggerBy),
    ),
    _known(
        "churn_precision",
        PRECISION,
        *PRECISION_BOUNDS,
        "希望多大比例的预警是对的",
        "The share of alerts that shall be right where the trigger follows what happened.",
    ),
    _known(
        "churn_escalation_hours",
        ESCALATION_HOURS,
        1,
        720,
        "预警每级多少小时后升级",
        "How many hours a level has to bring the member back.",
    ),
    _known(
        "churn_signal_share",
        SIGNAL_SHARE,
        0,
        1,
        "有信号时触发概率的折扣",
        "What share of the trigger is left while a signal is open.",
    ),
    Setting(
        "churn_signal_effect",
        SettingKind.CHOICE,
        SignalEffect.LOWER.value,
        "信号对预警的作用",
        "What an open signal does to its member's alerts.",
        choices=tuple(effect.value for effect in SignalEffect),
    ),
    _known(
        "churn_logins_fall",
        LOGINS_FALL,
        1,
        100,
        "登录下降多少百分比算信号",
        "By how many percent log-ins fall to make a signal.",
    ),
    _known(
        "churn_usage_fall",
        USAGE_FALL,
        1,
        100,
        "使用时长下降多少百分比算信号",
        "By how many percent time of use falls to make a signal.",
    ),
    _known(
        "churn_signal_sessions",
        LEAST_SESSIONS,
        1,
        100,
        "信号所需的基期最少登录数",
        "How many sessions the baseline of a signal has at the least.",
    ),
)
