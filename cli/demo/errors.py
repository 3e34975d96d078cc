"""Why there is no demo."""

from app.kernel.errors import Refusal


class DemoInProduction(Refusal):
    """The demo has well-known passwords and invented members."""

    code = "DEMO_IN_PRODUCTION"
    zh = "生产环境（LINLI_ENV=production）不建立演示数据：其账号密码是公开的。"
    en = (
        "The demo has passwords that everybody knows and invented members: it is not filled into a "
        "production database (LINLI_ENV=production)."
    )
