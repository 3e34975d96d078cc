"""What texts, numbers and lists a request may hold: its variables and its document's literals.

PostgreSQL cannot store NUL or half of a surrogate pair, and nothing of ours takes endless texts,
lists or nesting. Fields have narrower limits of their own.
"""

from collections.abc import Mapping
from typing import Any, cast

from graphql import GraphQLError, ListValueNode, StringValueNode
from graphql.validation import ASTValidationRule

LONGEST_TEXT = 10_000
LONGEST_NAME = 200
LARGEST_NUMBER = 2**53
# Values in a list. Reports of orders and events hold objects by the thousand, and say themselves
# how many are too many; the size of a request's body bounds the rest.
LONGEST_LIST = 250
LONGEST_LIST_OF_OBJECTS = 2_000
DEEPEST = 20


class BadVariable(GraphQLError):
    """A value among the variables that nothing of ours takes; `path` in extensions says which."""

    def __init__(self, message: str, path: str) -> None:
        """Name the value and say what is wrong with it."""
        super().__init__(
            f"Variable '{path}': {message}",
            extensions={"code": "BAD_USER_INPUT", "variable": path},
        )


class SoundLiterals(ASTValidationRule):
    """Refuses in a document what `check_variables` refuses in variables.

    Numbers and nesting are bounded by the scalars and by the depth of documents.
    """

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        """Look at one text of the document."""
        mistake = mistake_in_text(node.value)
        if mistake:
            self.report_error(GraphQLError(mistake[0].upper() + mistake[1:], node))

    def enter_list_value(self, node: ListValueNode, *_: Any) -> None:
        """Look at the length of one list of the document."""
        if len(node.values) > LONGEST_LIST:
            self.report_error(GraphQLError(f"A list may have at most {LONGEST_LIST} items.", node))


class _Bad(Exception):
    """What is wrong; the way to it is put together while the exception rises."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path: list[str | int] = []


def check_variables(variables: Mapping[str, object]) -> None:
    """Look through JSON values.

    Raises BadVariable for the first text with NUL, a lone surrogate or over 10,000 characters, the
    first number beyond ±2^53, list of over 250 values (2,000 objects) or nesting of over 20 levels.
    """
    try:
        for name, value in variables.items():
            _check_name(name)
            try:
                _check(value, DEEPEST)
            except _Bad as bad:
                bad.path.append(name)
                raise
    except _Bad as bad:
        raise BadVariable(str(bad), _spelled(bad.path)) from None


def mistake_in_text(text: str) -> str | None:
    """What is wrong with a text, or None.

    >>> mistake_in_text("苹果"), mistake_in_text("a" * 10_001)
    (None, 'text may have at most 10000 characters.')
    """
    if len(text) > LONGEST_TEXT:
        return f"text may have at most {LONGEST_TEXT} characters."
    if "\0" in text:
        return "text may not hold NUL characters."
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "text may not hold half of a surrogate pair."
    return None


def _check(value: object, left: int) -> None:
    if isinstance(value, str):
        mistake = mistake_in_text(value)
        if mistake:
            raise _Bad(mistake)
    elif isinstance(value, int | float):
        # Also false for NaN, which JSON cannot hold but other callers might.
        if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
            raise _Bad("numbers lie within ±2^53.")
    elif isinstance(value, dict | list):
        if left == 0:
            raise _Bad(f"values nest at most {DEEPEST} levels deep.")
        if isinstance(value, list):
            _check_list(cast(list[Any], value), left)
        else:
            _check_object(cast(dict[str, Any], value), left)


def _check_list(values: list[Any], left: int) -> None:
    if len(values) > LONGEST_LIST:
        most = LONGEST_LIST_OF_OBJECTS if isinstance(values[0], dict) else LONGEST_LIST
        if len(values) > most:
            raise _Bad(f"a list may have at most {most} items.")
    for place, value in enumerate(values):
        try:
            _check(value, left - 1)
        except _Bad as bad:
            bad.path.append(place)
            raise


def _check_object(value: dict[str, Any], left: int) -> None:
    for name, item in value.items():
        _check_name(name)
        try:
            _check(item, left - 1)
        except _Bad as bad:
            bad.path.append(name)
            raise


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or mistake_in_text(name):
        raise _Bad("a field of this name exists nowhere.")


def _spelled(path: list[str | int]) -> str:
    spelled = "$"
    for step in reversed(path):
        if isinstance(step, int):
            spelled += f"[{step}]"
        else:
            spelled += step if spelled == "$" else f".{step}"
    return spelled
