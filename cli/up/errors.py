"""Why everything could not be started, in words that say how to mend it."""

from typing import ClassVar


class UpError(Exception):
    """Starting or running everything failed; the text says why, in two languages."""

    en: ClassVar[str]
    zh: ClassVar[str]

    def __init__(self, **facts: object) -> None:
        """Fill the facts into both sentences."""
        self.facts = facts
        super().__init__(f"{self.en.format(**facts)}\n{self.zh.format(**facts)}")


class PortTaken(UpError):
    """Another program listens where the API would."""

    en = (
        "Port {port} on {host} is already taken{by}. "
        "Stop that program, or choose another port with LINLI_PORT."
    )
    zh = "{host} 的端口 {port} 已被占用{by}。请停止该程序，或用 LINLI_PORT 换一个端口。"


class AddressRefused(UpError):
    """The system does not let us listen there."""

    en = (
        "Cannot listen on {host} port {port}: {reason}. "
        "Choose others with LINLI_HOST and LINLI_PORT."
    )
    zh = "无法监听 {host} 的端口 {port}：{reason}。请用 LINLI_HOST 与 LINLI_PORT 另行指定。"


class PartEnded(UpError):
    """A part that should run for ever has ended."""

    en = "{name} ended by itself ({how}), so everything else was stopped. Its last lines:\n{lines}"
    zh = "{name} 意外退出（{how}），其余部分已随之停止。"


class StepFailed(UpError):
    """A step before the start of the parts did not succeed."""

    en = "The step “{name}” failed ({how}). Its last lines:\n{lines}"
    zh = "步骤“{name}”失败（{how}）。"


class NotReady(UpError):
    """The API runs but does not say that it is ready."""

    en = "The API did not become ready in {seconds} s; {url} last said: {answer}"
    zh = "API 在 {seconds} 秒内未就绪；{url} 最后的回应：{answer}"


class LeftBehind(UpError):
    """Processes of a killed run cannot be ended."""

    en = "Processes of an earlier run on this data do not end; end them by hand and start again."
    zh = "上次运行遗留的进程无法结束，请手动结束后重试。"
