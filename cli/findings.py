"""What `linli doctor` finds: what is wrong, how it is mended, in English and in Chinese."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]
COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "wrong": "red"}
PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, what mends it, and both in Chinese unless all is well."""

    check: str
    state: State
    found: str
    mend: str = ""
    zh: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", found)


def wrong(check: str, found: str, mend: str, zh: str) -> Finding:
    """Linli does not work like this."""
    return Finding(check, "wrong", found, mend, zh)


def warning(check: str, found: str, mend: str, zh: str) -> Finding:
    """Linli works, and not as it should."""
    return Finding(check, "warning", found, mend, zh)


Explain = Callable[[str, Exception], Finding]


async def guarded(
    check: str, look: Callable[[], Awaitable[Finding]], explain: Explain | None = None
) -> Finding:
    """What a look finds; that it fails is a finding too, and not the doctor's end."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await look()
    except Exception as error:  # a doctor reports every failure instead of failing with it
        if explain is not None:
            return explain(check, error)
        said = f"{type(error).__name__}: {error}"
        return wrong(check, said, "Mend what the error names, then look again.", "请按报错信息处理")
