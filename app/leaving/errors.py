"""Refusals of taking one's data along."""

from app.kernel.errors import Refusal, Wait


class ExportUnderWay(Refusal):
    """A copy of the member's data is being made already."""

    code = "EXPORT_UNDER_WAY"
    zh = "数据副本正在生成中"
    en = "A copy of your data is being made already."


class ExportedRecently(Wait):
    """A copy of the member's data was made within the last day."""

    code = "EXPORTED_RECENTLY"
    zh = "今日已申请过数据副本，请{seconds}秒后再试"
    en = "You asked for a copy within the last day; ask again in {seconds} seconds."
