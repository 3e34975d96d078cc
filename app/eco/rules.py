"""The factors and badges of a fresh installation, and what a badge counts.

The grams below are settings of the platform and no measurements: round placeholders, so that the
whole way from action to badge can be walked. Staff replace them by figures they can vouch for, as
a new version with its provenance.
"""

from typing import Any

from app.eco.tables import BadgeFact, EcoType

PLACEHOLDER = "Platform default without a source; staff must replace it before publishing figures."
# Evidence is a scan's code, a picture's address or a note.
LONGEST_EVIDENCE = 500
LONGEST_REASON = 200
CARBON_RULE = "eco-action"

_DEFAULTS: tuple[tuple[EcoType, int, int], ...] = (
    (EcoType.PACKAGING_RETURN, 100, 10),
    (EcoType.OWN_BAG, 50, 5),
    (EcoType.SELF_PICKUP, 100, 10),
    (EcoType.NO_CUTLERY, 20, 2),
    (EcoType.BATTERY_RECYCLING, 100, 10),
)

DEFAULT_FACTORS: tuple[dict[str, Any], ...] = tuple(
    {
        "type": kind,
        "version": 1,
        "grams_co2e": grams,
        "carbon_points": carbon,
        "provenance": PLACEHOLDER,
    }
    for kind, grams, carbon in _DEFAULTS
)

DEFAULT_BADGES: tuple[dict[str, Any], ...] = (
    {
        "code": "GREEN_START",
        "name_zh": "环保新芽",
        "name_en": "Green start",
        "description_zh": "完成第一次环保行动",
        "description_en": "A first eco action, verified.",
        "fact": BadgeFact.ECO_ACTIONS,
        "at_least": 1,
        "valid_days": None,
    },
    {
        "code": "GREEN_NEIGHBOUR",
        "name_zh": "绿色邻居",
        "name_en": "Green neighbour",
        "description_zh": "一年内完成20次环保行动，有效期一年",
        "description_en": "Twenty verified eco actions within a year; holds for a year.",
        "fact": BadgeFact.ECO_ACTIONS,
        "at_least": 20,
        "valid_days": 365,
    },
    {
        "code": "CARBON_SAVER",
        "name_zh": "减碳达人",
        "name_en": "Carbon saver",
        "description_zh": "环保行动按平台系数累计10千克二氧化碳当量",
        "description_en": "10 kg CO2e of verified actions, by the platform's factors.",
        "fact": BadgeFact.GRAMS_CO2E,
        "at_least": 10_000,
        "valid_days": None,
    },
    {
        "code": "STEADY_30",
        "name_zh": "坚持签到30天",
        "name_en": "Thirty days in a row",
        "description_zh": "连续签到30天",
        "description_en": "Checked in on thirty days in a row.",
        "fact": BadgeFact.CHECK_IN_STREAK,
        "at_least": 30,
        "valid_days": None,
    },
)
