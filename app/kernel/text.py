"""Text that people write, checked before it is stored."""

from app.kernel.errors import InvalidInput


def checked_text(value: str, *, field: str, longest: int, shortest: int = 1) -> str:
    """The text without surrounding white space.

    Raises InvalidInput when it is too short or too long (in characters), or holds NUL or half of a
    surrogate pair, which PostgreSQL cannot store.

    >>> checked_text("  苹果 ", field="label", longest=10)
    '苹果'
    """
    text = value.strip()
    if not shortest <= len(text) <= longest:
        raise InvalidInput(
            field=field,
            reason=f"{shortest} to {longest} characters",
            reason_zh=f"{shortest}至{longest}个字符",
        )
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidInput(
            field=field, reason="characters that cannot be stored", reason_zh="含有无法保存的字符"
        )
    return text
