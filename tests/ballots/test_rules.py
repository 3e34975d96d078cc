"""Who wins by the declared quorum and tie rule."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ballots import BallotState, OptionTally, TieRule
from app.ballots.rules import verdict


def tally(*votes: int) -> list[OptionTally]:
    return [OptionTally(uuid4(), place, str(place), count) for place, count in enumerate(votes)]


@pytest.mark.parametrize(
    ("votes", "quorum", "tie", "state", "winner"),
    [
        ((3, 1), 0, TieRule.REJECT, BallotState.ADOPTED, "0"),
        ((1, 3), 40, TieRule.REJECT, BallotState.ADOPTED, "1"),
        ((1, 2), 40, TieRule.REJECT, BallotState.NO_QUORUM, None),
        ((0, 0), 0, TieRule.FIRST_LISTED, BallotState.NO_QUORUM, None),
        ((2, 2), 0, TieRule.REJECT, BallotState.REJECTED, None),
        ((0, 2, 2), 0, TieRule.FIRST_LISTED, BallotState.ADOPTED, "1"),
    ],
)
def test_the_outcome_of_ten_on_the_roll(
    votes: tuple[int, ...], quorum: int, tie: TieRule, state: BallotState, winner: str | None
) -> None:
    found = verdict(tally(*votes), roll_size=10, quorum_percent=quorum, tie_rule=tie)
    assert (found.state, found.winner and found.winner.label) == (state, winner)


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=6),
    st.integers(0, 100),
    st.sampled_from(TieRule),
)
def test_a_winner_is_never_outvoted(votes: list[int], quorum: int, tie: TieRule) -> None:
    found = verdict(tally(*votes), roll_size=30, quorum_percent=quorum, tie_rule=tie)
    if found.winner is not None:
        assert found.winner.votes == max(votes) > 0
        assert sum(votes) * 100 >= quorum * 30
