"""Refusals around ballots."""

from app.kernel.errors import Refusal


class BallotNotFound(Refusal):
    """There is no such ballot."""

    code = "BALLOT_NOT_FOUND"
    zh = "找不到该投票"
    en = "There is no such ballot."


class BallotMethodUnavailable(Refusal):
    """Only single-choice ballots can be held so far."""

    code = "BALLOT_METHOD_UNAVAILABLE"
    zh = "暂时只支持单选投票"
    en = "Only single-choice ballots can be held so far; {method} is not available."


class BallotNotDraft(Refusal):
    """A ballot is opened once, and never again."""

    code = "BALLOT_NOT_DRAFT"
    zh = "该投票已经开启过，不能再次开启或修改"
    en = "This ballot has been opened already; it can be neither changed nor reopened."


class BallotNotOpen(Refusal):
    """Votes are taken only between opening and closing."""

    code = "BALLOT_NOT_OPEN"
    zh = "投票未开始或已结束"
    en = "This ballot is not open for votes."


class NotOnRoll(Refusal):
    """The member was not eligible when the roll was frozen."""

    code = "NOT_ON_ROLL"
    zh = "您不在本次投票的名单中"
    en = "You are not on the roll of this ballot."


class OptionNotFound(Refusal):
    """The ballot has no such option."""

    code = "OPTION_NOT_FOUND"
    zh = "该投票没有这个选项"
    en = "This ballot has no such option."


class AlreadyVoted(Refusal):
    """The member has voted and the ballot does not allow changes."""

    code = "ALREADY_VOTED"
    zh = "您已投过票，本次投票不能更改"
    en = "You have voted; votes in this ballot cannot be changed."


class BallotDecidedAlready(Refusal):
    """A decision is announced once."""

    code = "BALLOT_DECIDED_ALREADY"
    zh = "该投票已有结果"
    en = "This ballot has been decided already."
