"""Ballots, rolls, votes and decisions: the face of the slice."""

from app.ballots.closing import close, close_due, conclude, decide
from app.ballots.drafting import Draft, create, eligible, open_ballot
from app.ballots.errors import (
    AlreadyVoted,
    BallotDecidedAlready,
    BallotMethodUnavailable,
    BallotNotDraft,
    BallotNotFound,
    BallotNotOpen,
    NotOnRoll,
    OptionNotFound,
)
from app.ballots.events import BallotClosed, BallotDecided, BallotOpened, VoteCast, ballot_topic
from app.ballots.merging import merge
from app.ballots.queries import (
    BallotPage,
    BallotRows,
    Standing,
    by_id,
    options_by_ballot,
    pages,
    standing,
    tally_by_ballot,
)
from app.ballots.rules import (
    MAX_LABEL,
    MAX_OPTIONS,
    MAX_QUESTION,
    MAX_REASON,
    OptionTally,
    shows_results,
)
from app.ballots.states import BallotMethod, BallotState, ResultsVisibility, TieRule
from app.ballots.tables import Ballot, BallotOption, RollEntry, Vote
from app.ballots.voting import cast

__all__ = [
    "MAX_LABEL",
    "MAX_OPTIONS",
    "MAX_QUESTION",
    "MAX_REASON",
    "AlreadyVoted",
    "Ballot",
    "BallotClosed",
    "BallotDecided",
    "BallotDecidedAlready",
    "BallotMethod",
    "BallotMethodUnavailable",
    "BallotNotDraft",
    "BallotNotFound",
    "BallotNotOpen",
    "BallotOpened",
    "BallotOption",
    "BallotPage",
    "BallotRows",
    "BallotState",
    "Draft",
    "NotOnRoll",
    "OptionNotFound",
    "OptionTally",
    "ResultsVisibility",
    "RollEntry",
    "Standing",
    "TieRule",
    "Vote",
    "VoteCast",
    "ballot_topic",
    "by_id",
    "cast",
    "close",
    "close_due",
    "conclude",
    "create",
    "decide",
    "eligible",
    "merge",
    "open_ballot",
    "options_by_ballot",
    "pages",
    "shows_results",
    "standing",
    "tally_by_ballot",
]
