"""Media types: what a client accepts, and what it sends."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache


class Media(Enum):
    """What an answer is written as; the value is its Content-Type."""

    JSON = b"application/json; charset=utf-8"
    RESPONSE = b"application/graphql-response+json; charset=utf-8"
    STREAM = b"text/event-stream; charset=utf-8"
    PAGE = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a client takes: the best for a GraphQL response (None for none of ours), ...

    ... whether it reads event streams, and whether it would rather see a page for people.
    """

    media: Media | None
    streams: bool = False
    page: bool = False


_NAMES = {
    Media.JSON: "application/json",
    Media.RESPONSE: "application/graphql-response+json",
    Media.STREAM: "text/event-stream",
    Media.PAGE: "text/html",
}
# "Anything" is an answer of either JSON, never a stream that does not end, nor a page.
_ANYTHING = {Media.JSON, Media.RESPONSE}
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\Z")
# (quality, how exactly it was named, how early)
_Rank = tuple[float, int, int]


@lru_cache(maxsize=512)
def accepted(header: bytes | None) -> Accepted:
    """Read an Accept header; without one (or with an empty one) the answer is application/json."""
    text = (header or b"").decode("latin-1").lower()
    if not text.strip(" \t,"):
        return Accepted(Media.JSON)
    ranges = list(_ranges(text))
    ranks = {media: rank for media in Media if (rank := _rank(media, ranges)) is not None}
    page = ranks.pop(Media.PAGE, None)
    best = max(ranks, key=lambda media: ranks[media], default=None)
    return Accepted(
        best,
        streams=Media.STREAM in ranks,
        page=page is not None and (best is None or page > ranks[best]),
    )


def _ranges(text: str) -> "list[tuple[str, float, int]]":
    found: list[tuple[str, float, int]] = []
    for order, part in enumerate(text.split(",")):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((item[2:].strip() for item in parameters if item.startswith("q=")), "1")
        if name and _QUALITY.match(quality):
            found.append((name, float(quality), -order))
    return found


def _rank(media: Media, ranges: list[tuple[str, float, int]]) -> _Rank | None:
    """How much a type is wanted: what names it most exactly has the say, as RFC 9110 has it."""
    name = _NAMES[media]
    forms = {name: 2, name.partition("/")[0] + "/*": 1}
    if media in _ANYTHING:
        forms["*/*"] = 0
    fits = [(forms[item], order, quality) for item, quality, order in ranges if item in forms]
    if not fits:
        return None
    exactness, order, quality = max(fits)
    return (quality, exactness, order) if quality > 0 else None


@lru_cache(maxsize=512)
def is_json(content_type: bytes) -> bool:
    """Whether a body of this Content-Type is JSON in UTF-8."""
    name, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    if name != "application/json":
        return False
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            return False
    return True
