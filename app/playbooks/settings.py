"""The settings of a community that playbooks go by."""

from app.members import Setting, SettingKind
from app.playbooks.rules import ALONE_FEN, ALONE_KEY, MOST_ALONE_FEN

SETTINGS: tuple[Setting, ...] = (
    Setting(
        ALONE_KEY,
        SettingKind.INTEGER,
        ALONE_FEN,
        "预案一次预警最多给每位成员多少分（积分与券合计），超过须另一人审批",
        "What one alert may bring one member, in fen of points and coupons together, by a playbook "
        "that nobody but its author has approved.",
        0,
        MOST_ALONE_FEN,
    ),
)
