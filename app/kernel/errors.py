"""Refusals: the expected ways in which a command says no, each with a stable code.

A slice subclasses `Refusal`; the GraphQL schema turns every subclass that a mutation declares into
a member of that mutation's union. Anything that is not a refusal is a fault: it is masked for the
caller and logged under an id.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, Literal

Locale = Literal["zh-CN", "en"]


class Refusal(Exception):
    """A command's typed no. Facts given as keywords fill the placeholders of its messages.

    `words` are the Chinese words for facts that are names of states.
    """

    code: ClassVar[str]
    zh: ClassVar[str]
    en: ClassVar[str]
    words: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **facts: object) -> None:
        """Keep the facts that the message mentions."""
        super().__init__(self.en.format_map(_Blanks(facts)))
        self.facts = facts

    def message(self, locale: Locale) -> str:
        """The sentence for a person, in their language."""
        if locale != "zh-CN":
            return self.en.format_map(_Blanks(self.facts))
        told = {name: self.words.get(str(fact), fact) for name, fact in self.facts.items()}
        return self.zh.format_map(_Blanks(told))


class _Blanks(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


class InvalidInput(Refusal):
    """An input value that the rules of its field do not allow."""

    code = "INVALID_INPUT"
    zh = "“{field}”不符合要求：{reason_zh}"
    en = "{field} is not acceptable: {reason}"

    def __init__(self, *, field: str, reason: str, reason_zh: str) -> None:
        """Name the field and say what is wrong with it."""
        super().__init__(field=field, reason=reason, reason_zh=reason_zh)


class IdempotencyKeyReused(Refusal):
    """The same idempotency key came again with another input."""

    code = "IDEMPOTENCY_KEY_REUSED"
    zh = "该幂等键已用于另一请求"
    en = "This idempotency key was used for a different request."


class NotSignedIn(Refusal):
    """The caller must sign in first."""

    code = "NOT_SIGNED_IN"
    zh = "请先登录"
    en = "Sign in first."


class NotAllowed(Refusal):
    """The caller's role or scope does not cover this."""

    code = "NOT_ALLOWED"
    zh = "没有权限"
    en = "You are not allowed to do this."


class Wait(Refusal):
    """A refusal that ends by itself; whoever is refused learns in how many seconds."""

    def __init__(self, *, seconds: int) -> None:
        """Say how long to wait before it is worth trying again."""
        super().__init__(seconds=seconds)
        self.seconds = seconds


class NotBefore(Refusal):
    """A refusal that ends at an instant; whoever is refused learns which."""

    def __init__(self, *, at: datetime) -> None:
        """Say from when on it is worth trying again."""
        super().__init__(at=at.astimezone(UTC).isoformat())
        self.at = at


class TooManyAttempts(Wait):
    """A brake on guessing: wait before the next attempt."""

    code = "TOO_MANY_ATTEMPTS"
    zh = "尝试次数过多，请{seconds}秒后再试"
    en = "Too many attempts; try again in {seconds} seconds."
