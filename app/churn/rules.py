"""When a score becomes an alert, and what happens to alerts with time."""

from collections.abc import Mapping
from datetime import timedelta

from app.churn.tables import AlertState

TRIGGER = 0.7
"""The probability from which a member counts as at risk; `churn_trigger` of a community's settings
overrides it."""

HYSTERESIS = 0.7
"""An alert closes, and may rise anew, once the score is at or under this share of the trigger."""

ESCALATION = timedelta(hours=72)
"""How long a level has to bring the member back before the next one begins."""

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


AUC_SLACK = 0.01
BRIER_SLACK = 0.005


def may_replace(champion: Mapping[str, float], challenger: Mapping[str, float]) -> bool:
    """True unless the fresher model did clearly worse on windows that neither had learned from.

    The two are measured on windows of different dates, which alone moves the figures a little:
    within that slack the one that has seen newer data is preferred.

    >>> old = {"roc_auc": 0.77, "brier": 0.168}
    >>> may_replace(old, {"roc_auc": 0.765, "brier": 0.17})
    True
    >>> may_replace(old, {"roc_auc": 0.7, "brier": 0.2})
    False
    """
    if not champion or not challenger:
        return True
    return (
        challenger["roc_auc"] >= champion["roc_auc"] - AUC_SLACK
        and challenger["brier"] <= champion["brier"] + BRIER_SLACK
    )
