"""The stages of the life cycle, why one holds, and what a run may alarm about."""

from enum import StrEnum


class Stage(StrEnum):
    """The stages of the life cycle, in order of precedence: the first that matches is the one."""

    ONBOARDING = "ONBOARDING"
    NEW_UNCONVERTED = "NEW_UNCONVERTED"
    CHURNED = "CHURNED"
    LAPSED_HIGH_VALUE = "LAPSED_HIGH_VALUE"
    SILENT = "SILENT"
    VIP = "VIP"
    POTENTIAL = "POTENTIAL"
    LOW_FREQUENCY = "LOW_FREQUENCY"
    REGULAR = "REGULAR"


class StageReason(StrEnum):
    """Which rule put a member where they are."""

    JUST_REGISTERED = "JUST_REGISTERED"
    NO_ORDER_YET = "NO_ORDER_YET"
    NO_ORDER_FOR_75_DAYS = "NO_ORDER_FOR_75_DAYS"
    SILENT_WITH_HIGH_AVERAGE = "SILENT_WITH_HIGH_AVERAGE"
    NO_ORDER_FOR_30_DAYS = "NO_ORDER_FOR_30_DAYS"
    TOP_SPEND = "TOP_SPEND"
    BROWSING_RISING = "BROWSING_RISING"
    ORDERS_RISING = "ORDERS_RISING"
    BROWSING_OTHER_CATEGORIES = "BROWSING_OTHER_CATEGORIES"
    FEW_ORDERS = "FEW_ORDERS"
    STEADY_ORDERS = "STEADY_ORDERS"
    MEMBER_LEFT = "MEMBER_LEFT"


class Alarm(StrEnum):
    """What is wrong with a run's share of VIPs."""

    VIP_SHARE_OF_MEMBERS = "VIP_SHARE_OF_MEMBERS"
    VIP_SHARE_OF_SALES = "VIP_SHARE_OF_SALES"
