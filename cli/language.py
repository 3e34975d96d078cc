"""The language of whoever reads the terminal."""

import os
from typing import Literal


def reader_language() -> Literal["zh", "en"]:
    """Chinese where the environment's locale is; else English."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    asked = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return "zh" if asked.lower().startswith("zh") else "en"
