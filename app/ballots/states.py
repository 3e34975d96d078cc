"""What a ballot can be: its method, visibility, tie rule and state."""

from enum import StrEnum


class BallotMethod(StrEnum):
    """How votes are expressed and counted."""

    SINGLE = "SINGLE"
    APPROVAL = "APPROVAL"
    RANKED = "RANKED"
    SCORE = "SCORE"


class ResultsVisibility(StrEnum):
    """When a voter may see the tally."""

    LIVE = "LIVE"
    UNTIL_VOTED = "UNTIL_VOTED"
    UNTIL_CLOSED = "UNTIL_CLOSED"


class TieRule(StrEnum):
    """What happens when the leading options have equally many votes."""

    REJECT = "REJECT"
    FIRST_LISTED = "FIRST_LISTED"


class BallotState(StrEnum):
    """A ballot's life; it never goes back."""

    DRAFT = "DRAFT"
    OPEN = "OPEN"
    CLOSED = "CLOSED"
    TALLIED = "TALLIED"
    ADOPTED = "ADOPTED"
    REJECTED = "REJECTED"
    NO_QUORUM = "NO_QUORUM"
