"""Refusals about orders and events."""

from app.kernel.errors import Refusal


class ImportUnderWay(Refusal):
    """Another import of the same source is running."""

    code = "IMPORT_UNDER_WAY"
    zh = "来源“{source}”正在导入，请稍后再试"
    en = "Another import of the source {source!r} is running; try again when it has ended."


class BatchTooLarge(Refusal):
    """More rows than one request may carry."""

    code = "BATCH_TOO_LARGE"
    zh = "一次最多提交{limit}条"
    en = "At most {limit} rows may come at once."


class BadSource(Refusal):
    """The name of the reporting system is empty or too long."""

    code = "BAD_SOURCE"
    zh = "来源名称须为1至64个字符"
    en = "The source's name has 1 to 64 characters."
