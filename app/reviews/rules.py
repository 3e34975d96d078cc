"""What a review may be."""

LONGEST_TEXT = 2000
LONGEST_SKU = 200
LONGEST_REASON = 500
LOWEST, HIGHEST = 1, 5


def is_rating(value: int) -> bool:
    """Whole stars from 1 to 5.

    >>> [is_rating(stars) for stars in (0, 1, 5, 6)]
    [False, True, True, False]
    """
    return LOWEST <= value <= HIGHEST
