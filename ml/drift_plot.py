"""Drift as a picture: one panel a figure, nights from left to right."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One figure by night; None where it is not known. `limit` is drawn where an alarm begins."""

    name: str
    at: Sequence[datetime]
    values: Sequence[float | None]
    limit: float | None = None


def draw(lines: Sequence[Line], path: Path) -> None:
    """Write the lines below each other into a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.7 * len(lines)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(lines), 1, sharex=True, squeeze=False)[:, 0]
    for axes, line in zip(panels, lines, strict=True):
        known = [(at, v) for at, v in zip(line.at, line.values, strict=True) if v is not None]
        days = date2num([at for at, _ in known])
        axes.plot(days, [v for _, v in known], "o-", color="#2b6ca3", ms=3, lw=1.4)
        if line.limit is not None:
            axes.axhline(line.limit, color="#c8452e", lw=1, ls="--")
            axes.annotate(
                "alarm", (1, line.limit), xycoords=("axes fraction", "data"), color="#c8452e",
                ha="right", va="bottom", fontsize=8,
            )  # fmt: skip
        if not known:
            axes.text(0.5, 0.5, "not known yet", transform=axes.transAxes, ha="center")
        axes.set_title(line.name, loc="left", fontsize=10)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    locator = AutoDateLocator()
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
    figure.savefig(path, dpi=130)
