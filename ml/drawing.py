"""How every plot is drawn: one font with Chinese, colours that all eyes tell apart, PNG files.

matplotlib is imported when something is drawn, with its file-only backend: no display is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ml.writing import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Language = Literal["en", "zh"]

FONT: Final = Path(__file__).parent / "fonts" / "NotoSansCJKsc-Common.otf"
_FAMILY: Final = ("Noto Sans CJK SC", "DejaVu Sans")

INK: Final = "#222222"
FAINT: Final = "#b8b8b8"
# Okabe and Ito's palette, which survives the common kinds of colour blindness.
VERMILION: Final = "#d55e00"
BLUE: Final = "#0072b2"
GREEN: Final = "#009e73"
SKY: Final = "#56b4e9"
PURPLE: Final = "#cc79a7"
ORANGE: Final = "#e69f00"
GREY: Final = "#888888"


def save(path: Path, paint: Callable[[Axes], None], *, title: str, note: str = "") -> Path:
    """Draw one picture on one pair of axes and write it as PNG, wholly; folders are made."""
    from matplotlib import font_manager, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    manager: Any = font_manager.fontManager
    if not any(one.fname == str(FONT) for one in manager.ttflist):
        manager.addfont(FONT)
    settings: Any = {
        "font.family": list(_FAMILY),
        "font.size": 10.5,
        "axes.edgecolor": "#666666",
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": "#666666",
        "ytick.color": "#666666",
        "axes.unicode_minus": False,
    }
    with rc_context(settings):
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        paint(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=13, pad=26 if note else 12)
        if note:
            axes.text(0, 1.02, note, transform=axes.transAxes, fontsize=9.5, color="#666666")
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as draft:
            figure.savefig(draft, dpi=130, format="png")
    return path


def key(axes: Axes, lines: list[tuple[str, str]], *, at: tuple[float, float], rises: bool) -> None:
    """Names in the colours of their lines, one below the other; in a corner no line crosses.

    `at` is the corner in shares of the axes: the lowest line's place where the key `rises`, else
    the highest one's.
    """
    across = "right" if at[0] > 0.5 else "left"
    shown = list(reversed(lines)) if rises else lines
    for number, (text, colour) in enumerate(shown):
        high = at[1] + number * 0.052 * (1 if rises else -1)
        axes.text(at[0], high, text, transform=axes.transAxes, color=colour, ha=across, va="center")
