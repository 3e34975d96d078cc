"""Back-test plots as PNG files: ROC, calibration and lift, all cutoffs together.

matplotlib is imported when a plot is drawn, with its file-only backend: no display is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ml.arrays import F64
from ml.backtest import Report
from ml.evaluation import ECE_BINS, bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = {
    "product": "#c8452e",
    "xgboost": "#2b6ca3",
    "lightgbm": "#5bb5c9",
    "logistic_rich": "#c987c0",
    "recency_frequency": "#6f6a2b",
    "bgnbd": "#3a8f5c",
    "logistic": "#8a63b0",
    "rfm": "#b08a2e",
    "recency": "#8c8c8c",
}
_NAMES: Final = {
    "product": "Linli",
    "xgboost": "XGBoost alone",
    "lightgbm": "LightGBM",
    "logistic_rich": "logistic, all columns",
    "recency_frequency": "recency × frequency",
    "bgnbd": "BG/NBD",
    "logistic": "logistic on RFM",
    "rfm": "RFM score",
    "recency": "recency only",
}


def draw(report: Report, folder: Path) -> list[Path]:
    """Write roc.png, calibration.png and lift.png into `folder` and say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _save(report, folder / "roc.png", _roc),
        _save(report, folder / "calibration.png", _calibration),
        _save(report, folder / "lift.png", _lift),
    ]


def roc_points(outcome: F64, score: F64) -> tuple[F64, F64]:
    """False and true positive rates from (0, 0) to (1, 1), one point a distinct score."""
    _, group = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(group, weights=outcome))
    misses = np.cumsum(np.bincount(group, weights=1 - outcome))
    return (
        np.concatenate(([0.0], misses / max(misses[-1], 1))),
        np.concatenate(([0.0], hits / max(hits[-1], 1))),
    )


def _pooled(report: Report, model: str) -> tuple[F64, F64]:
    outcome = np.concatenate([test.outcome for test in report.tests])
    return outcome, np.concatenate([test.probability[model] for test in report.tests])


def _save(report: Report, path: Path, paint: _Paint) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    paint(report, axes)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    return path


def _roc(report: Report, axes: Axes) -> None:
    for model in reversed(list(report.mean)):
        false, true = roc_points(*_pooled(report, model))
        area = report.mean[model]["roc_auc"]
        axes.plot(false, true, color=_COLOURS[model], label=f"{_NAMES[model]}  {area:.3f}", lw=1.6)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1, ls=":")
    axes.set(
        xlabel="share of active members flagged",
        ylabel="share of silent members flagged",
        title=f"ROC, no order in {report.horizon_days} days (AUC: mean over cutoffs)",
        xlim=(0, 1),
        ylim=(0, 1.005),
    )


def _calibration(report: Report, axes: Axes) -> None:
    for model in ("bgnbd", "xgboost", "product"):
        outcome, probability = _pooled(report, model)
        group = bins(probability, ECE_BINS)
        used = np.unique(group)
        said = [probability[group == one].mean() for one in used]
        seen = [outcome[group == one].mean() for one in used]
        error = report.mean[model]["ece"]
        label = f"{_NAMES[model]}  ECE {error:.3f}"
        axes.plot(said, seen, "o-", color=_COLOURS[model], label=label, lw=1.6, ms=5)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1, ls=":")
    axes.set(
        xlabel="probability said",
        ylabel="share that fell silent",
        title="Calibration in ten bins, cutoffs pooled (ECE: mean over cutoffs)",
        xlim=(0, 1),
        ylim=(0, 1),
    )


def _lift(report: Report, axes: Axes) -> None:
    for model in reversed(list(report.mean)):
        outcome, probability = _pooled(report, model)
        ranked = outcome[np.argsort(-probability, kind="stable")]
        taken = np.arange(1, len(ranked) + 1)
        start = max(len(ranked) // 50, 1) - 1
        gain = np.cumsum(ranked) / taken / max(float(outcome.mean()), 1e-9)
        label = f"{_NAMES[model]}  {report.mean[model]['lift']:.2f}"
        share = taken[start:] / len(ranked)
        axes.plot(share, gain[start:], color=_COLOURS[model], label=label, lw=1.6)
    axes.axhline(1, color="#bbbbbb", lw=1, ls=":")
    axes.set(
        xlabel="share of members flagged, riskiest first",
        ylabel="silent among flagged / silent among all",
        title="Lift, cutoffs pooled (figure: top tenth, mean over cutoffs)",
        xlim=(0, 1),
    )


if TYPE_CHECKING:
    from collections.abc import Callable

    _Paint = Callable[[Report, Axes], None]
