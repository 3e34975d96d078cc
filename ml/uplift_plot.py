"""The Qini curve as a PNG file, in English or Chinese."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ml import drawing
from ml.uplift import qini_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ml.arrays import F64
    from ml.drawing import Language
    from ml.uplift import Judgement, Trial

TEXTS: Final[dict[str, dict[Language, str]]] = {
    "title": {"en": "Uplift: whom to treat first", "zh": "增益：先干预谁"},
    "note": {
        "en": "Qini {qini:.3f}, {members:,} members",
        "zh": "Qini {qini:.3f}，{members:,}名会员",
    },
    "x": {"en": "share of members treated, best first", "zh": "按预期效果从高到低干预的会员比例"},
    "y": {"en": "outcomes gained per 1,000 members", "zh": "每千名会员多得的结果"},
    "chance": {"en": "chance", "zh": "随机"},
}


def draw(
    trial: Trial, effect: F64, judgement: Judgement, path: Path, language: Language = "en"
) -> None:
    """Write the curve of a ranking beside chance, per 1,000 members treated or left alone."""
    members, gained = qini_curve(trial, effect)
    share, scale = members / members[-1], 1_000 / len(trial)

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, gained[-1] * scale], color=drawing.GREY, lw=1.3)
        axes.plot(share, gained * scale, color=drawing.VERMILION, lw=2.2)
        lines = [
            (judgement.learner, drawing.VERMILION),
            (TEXTS["chance"][language], drawing.GREY),
        ]
        drawing.key(axes, lines, at=(0.02, 0.95), rises=False)
        axes.set(xlabel=TEXTS["x"][language], ylabel=TEXTS["y"][language], xlim=(0, 1))

    told = TEXTS["note"][language].format(qini=judgement.qini.value, members=len(trial))
    drawing.save(path, paint, title=TEXTS["title"][language], note=told)
