"""The tiers and benefits of a fresh installation; staff may change all of them.

The thresholds: 2,000 is some 40 yuan a week for a year, 8,000 some 155.
"""

from typing import Any

from app.tiers.tables import BenefitKind, BenefitWindow

# Code, kind, names, whether it is booked, partner, descriptions.
_CATALOGUE: tuple[tuple[str, BenefitKind, str, str, bool, str | None, str, str], ...] = (
    (
        "birthday-gift",
        BenefitKind.GIFT,
        "生日礼",
        "Birthday gift",
        False,
        None,
        "生日当月领取一份礼品",
        "A gift in the month of the birthday.",
    ),
    (
        "priority-delivery",
        BenefitKind.DELIVERY,
        "优先配送时段",
        "Priority delivery slot",
        False,
        None,
        "优先选择配送时段",
        "First choice of the delivery slots.",
    ),
    (
        "new-product-trial",
        BenefitKind.TRIAL,
        "新品试用",
        "New-product trial",
        False,
        None,
        "新品上架前免费试用",
        "A free trial before a product is listed.",
    ),
    (
        "early-purchase",
        BenefitKind.EARLY_ACCESS,
        "限量商品提前购",
        "Early purchase of limited goods",
        False,
        None,
        "限量商品提前开抢",
        "Limited goods before everybody else.",
    ),
    (
        "vip-group",
        BenefitKind.GROUP,
        "VIP专属群",
        "VIP group",
        False,
        None,
        "加入VIP专属微信群",
        "A place in the VIP chat group.",
    ),
    (
        "dedicated-service",
        BenefitKind.SERVICE,
        "专属客服",
        "Dedicated service",
        False,
        None,
        "专属客服优先响应",
        "A service desk that answers first.",
    ),
    (
        "offline-event",
        BenefitKind.EVENT,
        "线下活动名额",
        "Seat at offline events",
        True,
        None,
        "预约线下活动席位",
        "A seat at an event, booked ahead.",
    ),
    (
        "own-bundle",
        BenefitKind.BUNDLE,
        "会员专属组合",
        "Own bundles",
        False,
        None,
        "只向会员开放的商品组合",
        "Bundles that only members of the tier can buy.",
    ),
    (
        "community-hospital",
        BenefitKind.PARTNER,
        "社区医院体检",
        "Check-up at the community hospital",
        True,
        "社区医院",
        "在社区医院预约一次体检",
        "A check-up at the community hospital, booked ahead.",
    ),
    (
        "after-school-care",
        BenefitKind.PARTNER,
        "课后托管体验",
        "After-school care",
        True,
        "课后托管",
        "预约课后托管体验课",
        "An afternoon of after-school care, booked ahead.",
    ),
)

DEFAULT_BENEFITS: tuple[dict[str, Any], ...] = tuple(
    {
        "code": code,
        "kind": kind,
        "name_zh": zh,
        "name_en": en,
        "needs_booking": booked,
        "partner": partner,
        "description_zh": text_zh,
        "description_en": text_en,
    }
    for code, kind, zh, en, booked, partner, text_zh, text_en in _CATALOGUE
)

DEFAULT_TIERS: tuple[dict[str, Any], ...] = (
    {
        "code": "NORMAL",
        "rank": 1,
        "name_zh": "普通",
        "name_en": "Normal",
        "upgrade_at": 0,
        "retain_at": 0,
    },
    {
        "code": "GOLD",
        "rank": 2,
        "name_zh": "黄金",
        "name_en": "Gold",
        "upgrade_at": 2_000,
        "retain_at": 1_500,
    },
    {
        "code": "DIAMOND",
        "rank": 3,
        "name_zh": "钻石",
        "name_en": "Diamond",
        "upgrade_at": 8_000,
        "retain_at": 6_000,
    },
)

_Grant = tuple[str, int | None, BenefitWindow | None]
_MONTH, _QUARTER, _YEAR = BenefitWindow.MONTH, BenefitWindow.QUARTER, BenefitWindow.YEAR
# Which tier has which benefits, how often within which window; None is without limit.
DEFAULT_GRANTS: dict[str, tuple[_Grant, ...]] = {
    "NORMAL": (("birthday-gift", 1, _YEAR),),
    "GOLD": (
        ("birthday-gift", 1, _YEAR),
        ("priority-delivery", 4, _MONTH),
        ("new-product-trial", 1, _MONTH),
        ("early-purchase", None, None),
        ("own-bundle", None, None),
        ("after-school-care", 1, _QUARTER),
    ),
    "DIAMOND": (
        ("birthday-gift", 1, _YEAR),
        ("priority-delivery", None, None),
        ("new-product-trial", 3, _MONTH),
        ("early-purchase", None, None),
        ("vip-group", None, None),
        ("dedicated-service", None, None),
        ("offline-event", 1, _MONTH),
        ("own-bundle", None, None),
        ("community-hospital", 1, _YEAR),
        ("after-school-care", 2, _MONTH),
    ),
}
