"""Signals of a member's falling use, and the words of alerts over GraphQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import strawberry

from app import churn
from app.kernel.errors import Locale
from app.kernel.table import Json
from schema.context import Info
from schema.enums import describe
from schema.fields import field

describe(
    churn.AlertState,
    "How far an alert has come: the first four are open, the others over.",
    name="ChurnAlertState",
    OPEN="It was just raised.",
    L1="A guide or a recommendation is tried.",
    L2="A targeted coupon is tried.",
    L3="A leader or manager speaks to the member.",
    RECOVERED="The member ordered again, the risk has fallen, or staff say so.",
    CHURNED="No order came within the horizon, the member left, or staff say so.",
    FALSE_ALARM="Staff found that there was nothing to it.",
    MUTED="Staff silenced it, with a reason.",
)
describe(
    churn.AlertCause,
    "What an alert was raised by.",
    name="ChurnAlertCause",
    SCORE="The score reached the trigger, which an open signal lowers.",
    SIGNAL="A signal alone, where the community has it so.",
)
describe(
    churn.SignalKind,
    "What a member does less of than before.",
    name="ChurnSignalKind",
    LOGINS="Sessions, counted.",
    USAGE="Time of use, in seconds, of everything that the member does.",
)
describe(
    churn.SignalOutcome,
    "How a signal ended.",
    name="ChurnSignalOutcome",
    RECOVERED="More than half of the fall was made good.",
    FADED="Too little use was left in the 28 days before to compare with.",
)
describe(
    churn.AlertActionKind,
    "What happened with an alert besides a change of its state.",
    name="ChurnAlertAction",
    ACKNOWLEDGED="Somebody of staff saw it.",
    TAKEN_OVER="Somebody of staff took it over, or holds it for longer.",
    HANDED_BACK="It was given back to the queue.",
    HOLD_ENDED="The time of whoever held it was over.",
    UNMUTED="Its member's mute was ended before its time.",
)
describe(
    churn.AlertOrder,
    "What the queue of alerts begins with.",
    name="ChurnAlertOrder",
    PROBABILITY="The likeliest to leave.",
    EXPECTED_LOSS="The greatest expected loss: probability times spend within the horizon.",
)
describe(
    churn.Verdict,
    "What staff may say that an alert came to.",
    name="ChurnAlertVerdict",
    FALSE_ALARM="There was nothing to it.",
    RECOVERED="The member stays.",
    CHURNED="The member is gone.",
)


@strawberry.type(
    description="That a member uses the platform much less than before: 28 days against the 28 "
    "before them, in whole business days."
)
class ChurnSignal:
    stored: strawberry.Private[churn.ChurnSignal]
    kind: churn.SignalKind = strawberry.field(description="What there is less of.")
    baseline: int = strawberry.field(
        description="Sessions, or seconds of use, in the 28 days before the newest 28."
    )
    recent: int = strawberry.field(description="The same in the newest 28 days.")
    change: float = strawberry.field(
        description="The change as a share of the baseline: -0.3 is 30% less."
    )
    opened_at: datetime = strawberry.field(description="The day's beginning as of which it began.")
    as_of: datetime = strawberry.field(
        description="The day's beginning up to which the figures count, the day left out."
    )
    closed_at: datetime | None = strawberry.field(description="When it ended, if it has.")
    outcome: churn.SignalOutcome | None = strawberry.field(description="How it ended, if it has.")

    @field(description="The signal with its figures, in the reader's language.", shared=True)
    def reason(self, info: Info) -> str:
        return signal_words(self.stored, info.context.locale)


def signal_of(row: churn.ChurnSignal) -> ChurnSignal:
    """The GraphQL value of a signal."""
    return ChurnSignal(
        stored=row,
        kind=row.kind,
        baseline=row.baseline,
        recent=row.recent,
        change=row.change,
        opened_at=row.opened_at,
        as_of=row.as_of,
        closed_at=row.closed_at,
        outcome=row.outcome,
    )


def signal_words(row: churn.ChurnSignal, locale: Locale) -> str:
    """A signal in a language, with its figures."""
    reason = churn.signal_reason(row.kind, baseline=row.baseline, recent=row.recent)
    return reason["zh" if locale == "zh-CN" else "en"]


def spoken(reasons: Sequence[Json], locale: Locale) -> list[str]:
    """The sentences of stored reasons in a language."""
    return [str(reason["zh" if locale == "zh-CN" else "en"]) for reason in reasons]


def all_words(
    reasons: Sequence[Json],
    signals: Iterable[churn.ChurnSignal],
    cause: churn.AlertCause,
    locale: Locale,
) -> list[str]:
    """What is behind an alert: what raised it first, the score's facts or the signals."""
    scored, signalled = spoken(reasons, locale), [signal_words(row, locale) for row in signals]
    return signalled + scored if cause is churn.AlertCause.SIGNAL else scored + signalled
