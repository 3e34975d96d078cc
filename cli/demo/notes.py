"""What a newcomer is told about the demo when everything is ready."""

import json
from typing import TYPE_CHECKING

from cli.demo.accounts import ACCOUNTS, PARTNER_KEY, STAR_OPENID

if TYPE_CHECKING:
    from cli.up.supervisor import Addresses

QUERY = (
    "mutation ($code: String!) { loginWithWechat(input: {code: $code}) { ... on MemberSession { "
    "session { accessToken } member { nickname tier { name } points { balance } } } } }"
)
VARIABLES = {"code": f"dev-{STAR_OPENID}"}


def demo_notes(addresses: "Addresses") -> list[tuple[str, str]]:
    """Log-ins and a query to try, as pairs of a label and a text."""
    owner = ACCOUNTS[0]
    others = ", ".join(account.login for account in ACCOUNTS[1:])
    return [
        ("Staff 员工登录", f"{owner.login} / {owner.password} (also {others}, likewise)"),
        (
            "Member 会员登录",
            f'loginWithWechat with code "dev-{STAR_OPENID}" (or dev-sim-1-7, or dev-<any name>)',
        ),
        ("Partner 合作系统", f"Authorization: Bearer {PARTNER_KEY}"),
        (
            "Try 试一试",
            f"curl -s {addresses.url}/graphql -H 'content-type: application/json' -d '"
            + json.dumps({"query": QUERY, "variables": VARIABLES})
            + "'",
        ),
    ]
