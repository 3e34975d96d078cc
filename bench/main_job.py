"""The main job on the whole file of real order lines, command by command."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from app.kernel.embedded import stores
from bench.processes import environment, linli

DEFAULT = Path(__file__).parent.parent.parent / "shared/data/online_retail_ii_lines.parquet"
AS_OF = "2011-09-01"


def main() -> int:
    """Print a table of the commands with their seconds and peak memory."""
    reader = argparse.ArgumentParser(description=__doc__)
    folder = os.environ.get("LINLI_REAL_DATA")
    standard = Path(folder) / DEFAULT.name if folder else DEFAULT
    reader.add_argument("file", type=Path, nargs="?", default=standard)
    file: Path = reader.parse_args().file
    if not file.exists():
        print(f"skipped: the real order lines are not at {file}; set LINLI_REAL_DATA")
        return 0
    with tempfile.TemporaryDirectory() as place, stores(Path(place), what="bench") as found:
        env = environment(database_url=found.database_url, redis_url=found.redis_url)
        rejects = str(Path(place) / "rejects.csv")
        load = ("import", "orders", str(file), "--preset", "online-retail", "--rejects", rejects)
        steps = (
            ("migrate",),
            load,
            load,
            ("segments", "run", "--as-of", AS_OF),
            ("tiers", "run", "--month", "2011-09"),
            ("train", "--as-of", AS_OF),
            ("score", "--as-of", AS_OF),
        )
        print(f"{'command':<34}{'seconds':>9}{'CPU s':>8}{'peak MiB':>10}")
        for place_in_line, words in enumerate(steps):
            ran = linli(*words, env=env)
            name = " ".join(words[:2]) + (" (again)" if words in steps[:place_in_line] else "")
            print(
                f"{name:<34}{ran.seconds:>9.1f}{ran.processor_seconds:>8.1f}{ran.peak_mib:>10.0f}",
                flush=True,
            )
            if words[0] == "import":
                print(ran.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
