"""When a score becomes an alert, and what happens to alerts with time."""

from datetime import date, datetime, timedelta
from enum import StrEnum

from app.churn.tables import AlertState, SignalKind, SignalOutcome
from app.kernel.clock import business_day, day_start

TRIGGER = 0.7
"""The probability from which a member counts as at risk; `churn_trigger` of a community's settings
overrides it."""

PRECISION = 0.7
PRECISION_BOUNDS = (0.5, 0.95)
"""The share of alerts that shall be right; `churn_precision` of a community's settings overrides
it, within these bounds."""

BAND = 0.2
"""How far from its setting a trigger may move when it follows what happened."""

HYSTERESIS = 0.7
"""An alert closes, and may rise anew, once the score is at or under this share of the trigger."""

LONGEST_WAIT = 180
"""The longest wait until the next order, in days, that is told as a number: in training no wait is
followed for longer, so that a longer median is the tail of a curve and nothing that was seen."""

ESCALATION_HOURS = 72
ESCALATION = timedelta(hours=ESCALATION_HOURS)
"""How long a level has to bring the member back before the next one begins;
`churn_escalation_hours` of a community's settings overrides it."""

HOLD = timedelta(hours=72)
"""How long an alert that somebody took over does not move up by itself."""

LONGEST_MUTE = timedelta(days=366)
"""How far ahead a member may be muted."""

LOGINS_FALL = 30
USAGE_FALL = 40
"""By how many percent log-ins, or time of use, fall in 28 days to make a signal."""

LEAST_SESSIONS = 4
"""How many sessions the 28 days before have at least: less is no habit to compare with."""

SIGNAL_DAYS = 28

SIGNAL_SHARE = 0.8
"""While a signal is open this share of the trigger is enough to raise an alert."""


class TriggerBy(StrEnum):
    """What decides from which probability members are at risk."""

    # What happened after the scores of the last weeks: the stated share of alerts is right.
    PRECISION = "PRECISION"
    # The setting alone.
    FIXED = "FIXED"


class NextOrderOutlook(StrEnum):
    """What is known of when a member's next order comes."""

    TOLD = "TOLD"
    LATE = "LATE"
    UNKNOWN = "UNKNOWN"


def next_order(median_days: float | None) -> tuple[NextOrderOutlook, float | None]:
    """What is said of the next order, by a model's median of the days until then.

    >>> [(outlook.value, days) for outlook, days in map(next_order, (24.5, 857.0, None))]
    [('TOLD', 24.5), ('LATE', None), ('UNKNOWN', None)]
    """
    if median_days is None:
        return NextOrderOutlook.UNKNOWN, None
    if median_days > LONGEST_WAIT:
        return NextOrderOutlook.LATE, None
    return NextOrderOutlook.TOLD, median_days


class SignalEffect(StrEnum):
    """What an open signal does to its member's alerts."""

    # It is shown, nothing else.
    NONE = "NONE"
    # It lowers the trigger to SIGNAL_SHARE of it.
    LOWER = "LOWER"
    # It raises an alert by itself, at OPEN, whatever the score.
    RAISE = "RAISE"


_NEXT = {
    AlertState.OPEN: AlertState.L1,
    AlertState.L1: AlertState.L2,
    AlertState.L2: AlertState.L3,
}


def rises_into_alert(raised: bool, probability: float, trigger: float = TRIGGER) -> bool:
    """True once per rise, so that a member is not alerted every night.

    `raised` is the latch that an earlier rise left set.

    >>> rises_into_alert(False, 0.8), rises_into_alert(True, 0.8), rises_into_alert(False, 0.6)
    (True, False, False)
    """
    return not raised and probability >= trigger


def has_calmed(probability: float, trigger: float = TRIGGER) -> bool:
    """True when a score has fallen far enough to close its alert and to allow another.

    >>> has_calmed(0.48), has_calmed(0.5)
    (True, False)
    """
    return probability <= HYSTERESIS * trigger


def bounded_trigger(own: float, found: float | None) -> float:
    """The trigger in force, given the setting and what was found from what happened.

    >>> bounded_trigger(0.7, 0.58), bounded_trigger(0.7, 0.31), bounded_trigger(0.7, None)
    (0.58, 0.5, 0.7)
    """
    if found is None:
        return own
    return round(min(max(found, own - BAND, 0.0), own + BAND, 1.0), 9)


def first_state(vip: bool) -> AlertState:
    """Where a new alert begins: VIPs skip the gentle measures.

    >>> first_state(True).value, first_state(False).value
    ('L2', 'OPEN')
    """
    return AlertState.L2 if vip else AlertState.OPEN


def next_state(state: AlertState) -> AlertState | None:
    """The level after this one; None at the top and for closed alerts.

    >>> next_state(AlertState.L1).value, next_state(AlertState.L3), next_state(AlertState.MUTED)
    ('L2', None, None)
    """
    return _NEXT.get(state)


def pause_before(state: AlertState) -> timedelta | None:
    """How long after entering a state the next level begins; None if there is none.

    An open alert enters L1 as soon as the playbook looks at it.

    >>> pause_before(AlertState.OPEN), pause_before(AlertState.L2), pause_before(AlertState.L3)
    (datetime.timedelta(0), datetime.timedelta(days=3), None)
    """
    if state is AlertState.OPEN:
        return timedelta(0)
    return ESCALATION if state in _NEXT else None


def effective_trigger(
    trigger: float, signalled: bool, effect: SignalEffect, share: float = SIGNAL_SHARE
) -> float:
    """The probability from which a member of a community is at risk.

    >>> effective_trigger(0.5, True, SignalEffect.LOWER), effective_trigger(0.5, True, "NONE")
    (0.4, 0.5)
    """
    return trigger * share if signalled and effect != SignalEffect.NONE else trigger


def signal_windows(at: datetime, zone: str) -> tuple[datetime, datetime, datetime]:
    """The 28 business days before that of `at`, and the 28 before those: [0, 1) and [1, 2).

    >>> from datetime import UTC
    >>> windows = signal_windows(datetime(2026, 3, 18, 4, tzinfo=UTC), "Asia/Shanghai")
    >>> [f"{edge:%m-%d %H:%M}" for edge in windows]
    ['01-20 16:00', '02-17 16:00', '03-17 16:00']
    """
    today: date = business_day(at, zone)
    earlier, middle, end = (
        day_start(today - timedelta(days=days), zone) for days in (2 * SIGNAL_DAYS, SIGNAL_DAYS, 0)
    )
    return earlier, middle, end


def falls_into_signal(
    *, baseline: int, recent: int, sessions: int, fall: float, least: float = LEAST_SESSIONS
) -> bool:
    """True if use fell by `fall` percent or more, from a baseline of enough sessions.

    >>> [falls_into_signal(baseline=10, recent=n, sessions=10, fall=30) for n in (7, 8)]
    [True, False]
    >>> falls_into_signal(baseline=3, recent=0, sessions=3, fall=30)
    False
    """
    return sessions >= least and baseline > 0 and recent * 100 <= baseline * (100 - fall)


def signal_end(
    *, baseline: int, recent: int, sessions: int, fall: float, least: float = LEAST_SESSIONS
) -> SignalOutcome | None:
    """How an open signal ends now; None while it stays open.

    It ends once less than half of the fall is left (hysteresis), or when the baseline itself has
    become too small to compare with: then nothing is known to be better.

    >>> [signal_end(baseline=20, recent=n, sessions=20, fall=30) for n in (16, 17, 18)]
    [None, None, <SignalOutcome.RECOVERED: 'RECOVERED'>]
    >>> signal_end(baseline=3, recent=0, sessions=3, fall=30).value
    'FADED'
    """
    if sessions < least or baseline <= 0:
        return SignalOutcome.FADED
    return SignalOutcome.RECOVERED if recent * 200 > baseline * (200 - fall) else None


_SIGNAL_TEXTS = {
    SignalKind.LOGINS: (
        "近28天登录{recent}次，此前28天{baseline}次，减少{percent}%",
        "{recent} log-ins in 28 days, {baseline} in the 28 before: {percent}% fewer",
    ),
    SignalKind.USAGE: (
        "近28天使用{recent}分钟，此前28天{baseline}分钟，减少{percent}%",
        "{recent} minutes of use in 28 days, {baseline} in the 28 before: {percent}% less",
    ),
}


def signal_reason(kind: SignalKind, *, baseline: int, recent: int) -> dict[str, str]:
    """A signal in words with the member's numbers, Chinese and English; USAGE is in seconds.

    >>> signal_reason(SignalKind.LOGINS, baseline=20, recent=9)["zh"]
    '近28天登录9次，此前28天20次，减少55%'
    >>> signal_reason(SignalKind.USAGE, baseline=7260, recent=1830)["en"]
    '30 minutes of use in 28 days, 121 in the 28 before: 74% less'
    """
    unit = 60 if kind is SignalKind.USAGE else 1
    zh, en = _SIGNAL_TEXTS[kind]
    numbers = {
        "recent": recent // unit,
        "baseline": baseline // unit,
        "percent": (baseline - recent) * 100 // baseline,
    }
    code = f"signal_{kind.value.lower()}"
    return {"code": code, "zh": zh.format(**numbers), "en": en.format(**numbers)}
