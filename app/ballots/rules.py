"""Who wins, who may see the tally, and what a ballot must look like."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.ballots.states import BallotState, ResultsVisibility, TieRule

MIN_OPTIONS = 2
MAX_OPTIONS = 20
MAX_QUESTION = 500
MAX_LABEL = 100
MAX_REASON = 1000


@dataclass(frozen=True, slots=True)
class OptionTally:
    """An option and its votes."""

    id: UUID
    position: int
    label: str
    votes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the votes say, by the rules declared before."""

    state: BallotState
    winner: OptionTally | None


def verdict(
    options: Sequence[OptionTally], *, roll_size: int, quorum_percent: int, tie_rule: TieRule
) -> Verdict:
    """The outcome of a single-choice tally.

    Without a single vote, or with fewer than `quorum_percent` of the roll, there is no quorum. A
    tie at the top is decided by the declared rule.
    """
    turnout = sum(option.votes for option in options)
    if turnout == 0 or turnout * 100 < quorum_percent * roll_size:
        return Verdict(BallotState.NO_QUORUM, None)
    most = max(option.votes for option in options)
    leaders = sorted((o for o in options if o.votes == most), key=lambda o: o.position)
    if len(leaders) > 1 and tie_rule is TieRule.REJECT:
        return Verdict(BallotState.REJECTED, None)
    return Verdict(BallotState.ADOPTED, leaders[0])


def takes_votes(
    state: BallotState, *, opens_at: datetime, closes_at: datetime, now: datetime
) -> bool:
    """Whether a vote counts at this instant; the closing instant itself is too late."""
    return state is BallotState.OPEN and opens_at <= now < closes_at


def shows_results(state: BallotState, visibility: ResultsVisibility, *, has_voted: bool) -> bool:
    """Whether this caller may see the tally now; staff are bound by the declaration too.

    >>> shows_results(BallotState.OPEN, ResultsVisibility.UNTIL_VOTED, has_voted=False)
    False
    >>> shows_results(BallotState.TALLIED, ResultsVisibility.UNTIL_CLOSED, has_voted=False)
    True
    """
    if state in (BallotState.DRAFT, BallotState.OPEN):
        if visibility is ResultsVisibility.UNTIL_VOTED:
            return has_voted
        return visibility is ResultsVisibility.LIVE
    return True
