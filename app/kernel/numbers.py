"""Numbers that people enter, checked before they are stored."""

from app.kernel.errors import InvalidInput


def check_within(value: int, least: int, most: int, *, field: str) -> None:
    """Raise InvalidInput unless the number is from `least` to `most`.

    >>> check_within(7, 1, 12, field="month")
    >>> check_within(13, 1, 12, field="month")
    Traceback (most recent call last):
    ...
    app.kernel.errors.InvalidInput: month is not acceptable: 1 to 12
    """
    if not least <= value <= most:
        raise InvalidInput(field=field, reason=f"{least} to {most}", reason_zh=f"{least}至{most}")
