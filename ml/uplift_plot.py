"""The Qini curve as a PNG file. matplotlib is imported when it is drawn."""

from pathlib import Path

from ml.arrays import F64
from ml.uplift import Judgement, Trial, qini_curve


def draw(trial: Trial, effect: F64, judgement: Judgement, path: Path) -> None:
    """Write the curve of a ranking beside chance, per 1,000 members treated or left alone."""
    from matplotlib.figure import Figure

    members, gained = qini_curve(trial, effect)
    share, scale = members / members[-1], 1_000 / len(trial)
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(share, gained * scale, color="#c8452e", label=judgement.learner)
    axes.plot([0, 1], [0, gained[-1] * scale], color="#8c8c8c", linestyle="--", label="chance")
    axes.set_xlabel("share of members treated, best first")
    axes.set_ylabel("outcomes gained per 1,000 members")
    axes.set_title(f"Qini {judgement.qini.value:.3f}, {len(trial):,} members")
    axes.legend(loc="upper left", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
