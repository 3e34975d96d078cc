"""What a community may set for itself: which keys there are, what they may be, and changing them.

Each slice names its own keys (`SETTINGS`), beside the rules that read them. A key is a path into
`Community.settings`: `checkIn.points` is `{"checkIn": {"points": …}}`. What is not set there is as
the product has it, so a default that changes reaches everybody who has not chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.table import Json
from app.members.errors import CommunityNotFound, SettingUnknown
from app.members.rules import CLOSING_GRACE_DAYS, MOST_CLOSING_GRACE_DAYS
from app.members.tables import Community

MOST_CHANGES = 50


class SettingKind(StrEnum):
    """What a setting's value is."""

    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    CHOICE = "CHOICE"
    # A list of different whole numbers, in rising order.
    INTEGERS = "INTEGERS"


@dataclass(frozen=True, slots=True)
class Setting:
    """A key with its default and bounds; `least` and `most` are of numbers, ends included."""

    key: str
    kind: SettingKind
    default: object
    zh: str
    en: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """A setting with the value that counts in a community; `own` where the community chose it."""

    setting: Setting
    value: object
    own: bool


Check = Callable[[Mapping[str, Any]], None]


def checked(setting: Setting, value: object) -> object:
    """The value as it is stored. Raises InvalidInput, which names the key.

    >>> weekdays = Setting("w", SettingKind.INTEGERS, [], "周几", "Days", least=1, most=7)
    >>> checked(weekdays, [5, 1, 5])
    [1, 5]
    """
    fits: bool
    match setting.kind:
        case SettingKind.CHOICE:
            fits, told = value in setting.choices, " | ".join(setting.choices)
            told_zh = told
        case SettingKind.INTEGERS:
            items: list[object] = value if isinstance(value, list) else [None]
            fits = all(_within(setting, item, whole=True) for item in items)
            told = f"a list of whole numbers, {setting.least} to {setting.most}"
            told_zh = f"须为{setting.least}至{setting.most}的整数列表"
            value = sorted({item for item in items if isinstance(item, int)})
        case SettingKind.INTEGER | SettingKind.NUMBER:
            whole = setting.kind is SettingKind.INTEGER
            fits = _within(setting, value, whole=whole)
            told = f"{'a whole number' if whole else 'a number'}, {setting.least} to {setting.most}"
            told_zh = f"须为{setting.least}至{setting.most}的{'整数' if whole else '数'}"
    if not fits:
        raise InvalidInput(field=setting.key, reason=told, reason_zh=told_zh)
    return value


def _within(setting: Setting, value: object, *, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    low, high = setting.least, setting.most
    return (low is None or value >= low) and (high is None or value <= high)


def in_force(settings: Mapping[str, Any], known: Sequence[Setting]) -> list[InForce]:
    """Every known key with the value that counts; what is stored and cannot be is left aside.

    >>> points = Setting("checkIn.points", SettingKind.INTEGER, 5, "签到积分", "Points", 0, 100)
    >>> [found.value for found in in_force({"checkIn": {"points": 9}}, [points])]
    [9]
    >>> [(found.value, found.own) for found in in_force({"checkIn": {"points": "9"}}, [points])]
    [(5, False)]
    """
    found: list[InForce] = []
    for setting in known:
        own = _at(settings, setting.key)
        try:
            stored = None if own is None else checked(setting, own)
        except InvalidInput:
            stored = None
        chosen = stored is not None
        found.append(InForce(setting, stored if chosen else setting.default, chosen))
    return found


def changed(
    settings: Mapping[str, Any], changes: Mapping[str, object], known: Sequence[Setting]
) -> Json:
    """The settings after these changes; None for a key makes it the product's default again.

    Raises SettingUnknown, InvalidInput.
    """
    by_key = {setting.key: setting for setting in known}
    after: Json = deepcopy(dict(settings))
    for key, value in changes.items():
        setting = by_key.get(key)
        if setting is None:
            raise SettingUnknown(key=key)
        _put(after, key, None if value is None else checked(setting, value))
    return after


async def update_settings(
    tx: Tx,
    *,
    community_id: UUID,
    changes: Mapping[str, object],
    known: Sequence[Setting],
    checks: Sequence[Check] = (),
) -> Community:
    """Change a community's settings, all or none; `checks` look at the whole of what comes of it.

    Changes of others at the same time are kept. Raises CommunityNotFound, SettingUnknown,
    InvalidInput.
    """
    check_within(len(changes), 1, MOST_CHANGES, field="changes")
    community = await tx.session.get(
        Community, community_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if community is None:
        raise CommunityNotFound()
    after = changed(community.settings, changes, known)
    for check in checks:
        check(after)
    community.settings = after
    await tx.session.flush()
    return community


def _at(settings: Mapping[str, Any], key: str) -> object:
    place: Any = settings
    for part in key.split("."):
        place = place.get(part) if isinstance(place, Mapping) else None
    return place


def _put(settings: Json, key: str, value: object) -> None:
    head, _, rest = key.partition(".")
    if rest:
        inner = settings.get(head)
        inside: Json = dict(inner) if isinstance(inner, dict) else {}
        _put(inside, rest, value)
        value = inside or None
    if value is None:
        settings.pop(head, None)
    else:
        settings[head] = value


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "closing_grace_days",
        SettingKind.INTEGER,
        CLOSING_GRACE_DAYS,
        "注销账户可反悔的天数",
        "Business days in which the closing of an account can be taken back.",
        1,
        MOST_CLOSING_GRACE_DAYS,
    ),
)
