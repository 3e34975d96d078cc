"""Who may sign in to the demo: plain values, so that showing them imports nothing."""

from dataclasses import dataclass
from typing import Final

PARTNER_KEY: Final = "linli_demo_partner_key_for_development_only"
SEED: Final = 1
# The first to join the world leads its first community: buys and posts a lot and does not leave.
STAR_OPENID: Final = f"sim-{SEED}-0"


@dataclass(frozen=True, slots=True)
class Account:
    """A staff account of the demo."""

    login: str
    name: str
    role: str

    @property
    def password(self) -> str:
        """Known to everybody."""
        return f"linli-demo-{self.login}"


ACCOUNTS: Final = (
    Account("owner", "演示·店主", "OWNER"),
    Account("campaign", "演示·活动运营", "CAMPAIGN_MANAGER"),
    Account("support", "演示·客服", "SUPPORT"),
    Account("analyst", "演示·数据分析", "ANALYST"),
)
