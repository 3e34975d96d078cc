"""Facts about ballots."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from app.ballots.states import BallotState, ResultsVisibility
from app.kernel.outbox import Event


def ballot_topic(ballot_id: UUID) -> str:
    """The live topic of one ballot."""
    return f"ballot:{ballot_id}"


@dataclass(frozen=True, slots=True)
class BallotOpened(Event):
    """The roll is frozen and votes are taken."""

    kind: ClassVar[str] = "ballot.opened"
    ballot_id: UUID
    roll_size: int

    def topics(self) -> list[str]:
        """Those who watch the ballot."""
        return [ballot_topic(self.ballot_id)]


@dataclass(frozen=True, slots=True)
class VoteCast(Event):
    """Somebody voted or changed their vote; neither who nor what is told."""

    kind: ClassVar[str] = "ballot.vote_cast"
    ballot_id: UUID
    visibility: ResultsVisibility

    def topics(self) -> list[str]:
        """Those who watch the ballot, unless its results are hidden until it closes."""
        if self.visibility is ResultsVisibility.UNTIL_CLOSED:
            return []
        return [ballot_topic(self.ballot_id)]


@dataclass(frozen=True, slots=True)
class BallotClosed(Event):
    """No more votes are taken; the votes are counted."""

    kind: ClassVar[str] = "ballot.closed"
    ballot_id: UUID
    turnout: int

    def topics(self) -> list[str]:
        """Those who watch the ballot."""
        return [ballot_topic(self.ballot_id)]


@dataclass(frozen=True, slots=True)
class BallotDecided(Event):
    """The outcome, told to those who watch; every voter gets the same fact on their own topic."""

    kind: ClassVar[str] = "ballot.decided"
    ballot_id: UUID
    question: str
    state: BallotState
    winner_id: UUID | None
    winner: str | None
    reason: str
    decided_at: datetime

    def topics(self) -> list[str]:
        """Those who watch the ballot."""
        return [ballot_topic(self.ballot_id)]
