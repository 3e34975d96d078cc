"""`python -m tests.chaos.askew serve`: a verb of linli by a clock that a file puts wrong."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.kernel import clock

FILE = "CHAOS_CLOCK"


def askew() -> datetime:
    """The present instant, and so many seconds."""
    seconds = float(Path(os.environ[FILE]).read_text() or 0)
    return datetime.now(UTC) + timedelta(seconds=seconds)


if __name__ == "__main__":
    # Before anything else has taken the real one.
    clock.system_clock = askew
    from cli.main import main

    main()
