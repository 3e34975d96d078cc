"""The settings of a community that points go by."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.kernel.errors import InvalidInput
from app.members import Setting, SettingKind
from app.points.rules import (
    CHECK_IN_BONUS,
    CHECK_IN_BONUS_EVERY,
    CHECK_IN_POINTS,
    EXPIRY,
    MOST_NOTICE_DAYS,
    NOTICE_DAYS,
    SHARING_PER_MONTH,
    SHARING_POINTS,
    SINGLE_PERCENT,
    ExpiryKind,
    expiry_rule,
)
from app.points.tables import Source

MOST_POINTS = 10_000
MOST_PERCENT = 1_000
MOST_PER_MONTH = 1_000
MOST_COUNT = 3_650
# Points that a refund brings back live on by a rule of their own.
_ENDING = [source for source in EXPIRY if source is not Source.REFUND]


def _whole(key: str, default: object, least: int, most: int, zh: str, en: str) -> Setting:
    return Setting(key, SettingKind.INTEGER, default, zh, en, least, most)


def _days(key: str, most: int, zh: str, en: str) -> Setting:
    return Setting(key, SettingKind.INTEGERS, [], zh, en, 1, most)


def _expiry(source: Source) -> tuple[Setting, Setting]:
    rule, path = EXPIRY[source], f"expiry.{source.value}"
    kinds = tuple(kind.value for kind in ExpiryKind)
    return (
        Setting(
            f"{path}.kind",
            SettingKind.CHOICE,
            rule.kind.value,
            f"{source.value}积分按何规则过期",
            f"By what the end of points of {source.value} is reckoned.",
            choices=kinds,
        ),
        _whole(
            f"{path}.count",
            rule.count,
            0,
            MOST_COUNT,
            f"{source.value}积分过期的天数、月数或年数",
            f"How many days, months or years points of {source.value} live.",
        ),
    )


SETTINGS: tuple[Setting, ...] = (
    _whole(
        "checkIn.points",
        CHECK_IN_POINTS,
        0,
        MOST_POINTS,
        "每日签到积分",
        "Points of a check-in.",
    ),
    _whole(
        "checkIn.bonus",
        CHECK_IN_BONUS,
        0,
        MOST_POINTS,
        "连续签到奖励积分",
        "Points more on a day that completes a streak.",
    ),
    _whole(
        "checkIn.bonusEvery",
        CHECK_IN_BONUS_EVERY,
        1,
        366,
        "连续签到多少天奖励一次",
        "How many days in a row complete a streak.",
    ),
    _whole(
        "sharing.points",
        SHARING_POINTS,
        0,
        MOST_POINTS,
        "邀请成功奖励积分",
        "Points of an invitation whose first order settles.",
    ),
    _whole(
        "sharing.perMonth",
        SHARING_PER_MONTH,
        0,
        MOST_PER_MONTH,
        "每人每月最多邀请数",
        "How many invitations of one member may be accepted in a month.",
    ),
    _whole(
        "memberDay.percent",
        SINGLE_PERCENT,
        SINGLE_PERCENT,
        MOST_PERCENT,
        "会员日积分倍率（百分比）",
        "What the member day multiplies points by, in percent.",
    ),
    _days(
        "memberDay.weekdays", 7, "会员日为周几（1为周一）", "Member days of the week; 1 is Monday."
    ),
    _days("memberDay.monthDays", 31, "会员日为每月几号", "Member days of the month."),
    _whole(
        "expiryNoticeDays",
        NOTICE_DAYS,
        0,
        MOST_NOTICE_DAYS,
        "积分到期提前几天提醒",
        "How many days before their end members are told of points.",
    ),
    *(setting for source in _ENDING for setting in _expiry(source)),
)


def tier_settings(codes: Iterable[str]) -> list[Setting]:
    """The multiplier of each tier; 100 is single points.

    >>> [setting.key for setting in tier_settings(["GOLD"])]
    ['tierPercent.GOLD']
    """
    return [
        _whole(
            f"tierPercent.{code}",
            SINGLE_PERCENT,
            SINGLE_PERCENT,
            MOST_PERCENT,
            f"{code}等级积分倍率（百分比）",
            f"What points of members of {code} are multiplied by, in percent.",
        )
        for code in codes
    ]


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise InvalidInput where the parts of a rule of expiry do not go together.

    >>> check_settings({"expiry": {"CHECK_IN": {"kind": "END_OF_MONTH", "count": 0}}})
    >>> check_settings({"expiry": {"CHECK_IN": {"kind": "DAYS", "count": 0}}})
    Traceback (most recent call last):
    app.kernel.errors.InvalidInput: expiry.CHECK_IN is not acceptable: kind and count, and a day \
at the least
    """
    own: Mapping[str, Any] = settings.get("expiry") or {}
    for source in _ENDING:
        rule = own.get(source.value)
        try:
            if rule is not None:
                expiry_rule(settings, source)
        except (KeyError, ValueError):
            raise InvalidInput(
                field=f"expiry.{source.value}",
                reason="kind and count, and a day at the least",
                reason_zh="须同时设定规则与数量，且至少一天",
            ) from None
