"""What people call the stages."""

from app.kernel.errors import Locale
from app.segments.stages import Stage

_NAMES: dict[Stage, tuple[str, str]] = {
    Stage.ONBOARDING: ("新客", "New here"),
    Stage.NEW_UNCONVERTED: ("未下单新客", "New, no order yet"),
    Stage.CHURNED: ("流失会员", "Churned"),
    Stage.LAPSED_HIGH_VALUE: ("沉睡高价值会员", "High value, silent"),
    Stage.SILENT: ("沉默会员", "Silent"),
    Stage.VIP: ("核心会员", "VIP"),
    Stage.POTENTIAL: ("潜力会员", "Rising"),
    Stage.LOW_FREQUENCY: ("低频会员", "Buys seldom"),
    Stage.REGULAR: ("常客", "Regular"),
}


def stage_name(stage: Stage, locale: Locale) -> str:
    """The stage's name in a language.

    >>> stage_name(Stage.ONBOARDING, "zh-CN"), stage_name(Stage.VIP, "en")
    ('新客', 'VIP')
    """
    zh, en = _NAMES[stage]
    return zh if locale == "zh-CN" else en
