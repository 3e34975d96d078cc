"""Back-test plots as PNG files, in English or Chinese: ROC, calibration, lift and lead time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ml import drawing
from ml.arrays import F64
from ml.evaluation import ECE_BINS, bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ml.backtest import Report
    from ml.drawing import Language
    from ml.lead import LeadReport

PRECISION: Final = 0.8
"""How many warnings are right where lead times are drawn."""

_COLOURS: Final = {
    "product": drawing.VERMILION,
    "cnbd": drawing.PURPLE,
    "bgnbd": drawing.BLUE,
    "logistic_rich": drawing.GREEN,
    "recency_frequency": drawing.SKY,
    "rfm": drawing.ORANGE,
    "recency": drawing.GREY,
}
"""Who is drawn: of models that hardly differ one stands for all."""

NAMES: Final[dict[str, dict[Language, str]]] = {
    "product": {"en": "Linli", "zh": "邻里"},
    "cnbd": {"en": "CNBD-k", "zh": "CNBD-k"},
    "bgnbd": {"en": "BG/NBD", "zh": "BG/NBD"},
    "logistic_rich": {"en": "logistic, all columns", "zh": "逻辑回归（全部特征）"},
    "recency_frequency": {"en": "recency × frequency", "zh": "近度×频度表"},
    "rfm": {"en": "RFM score", "zh": "RFM评分"},
    "recency": {"en": "recency only", "zh": "仅近度"},
}

TEXTS: Final[dict[str, dict[Language, str]]] = {
    "roc": {"en": "Ranking: silent members against staying ones", "zh": "排序：流失会员与留存会员"},
    "roc_note": {
        "en": "no order in {days} days; ROC AUC, mean of {cutoffs} cutoffs, with 95% intervals",
        "zh": "{days}天内无订单；{cutoffs}个截止日的平均ROC AUC及95%区间",
    },
    "roc_x": {"en": "share of staying members flagged", "zh": "留存会员中被标记的比例"},
    "roc_y": {"en": "share of silent members flagged", "zh": "流失会员中被标记的比例"},
    "calibration": {
        "en": "Calibration: said and seen",
        "zh": "校准：预测概率与实际比例",
    },
    "calibration_note": {
        "en": "no order in {days} days; tenths of members; ECE, mean of {cutoffs} cutoffs",
        "zh": "{days}天内无订单；按会员十等分；{cutoffs}个截止日的平均校准误差ECE",
    },
    "calibration_x": {"en": "probability said", "zh": "预测概率"},
    "calibration_y": {"en": "share that fell silent", "zh": "实际流失比例"},
    "lift": {"en": "Lift: the riskiest first", "zh": "提升度：从风险最高者开始"},
    "lift_note": {
        "en": "no order in {days} days; lift of the riskiest tenth, mean of {cutoffs} cutoffs",
        "zh": "{days}天内无订单；风险最高十分之一的提升度，{cutoffs}个截止日的平均",
    },
    "lift_x": {
        "en": "share of members flagged, riskiest first",
        "zh": "按风险从高到低标记的会员比例",
    },
    "lift_y": {"en": "silent among flagged / among all", "zh": "被标记者流失率 / 全体流失率"},
    "lead": {"en": "Lead time: when warnings came", "zh": "提前量：何时发出预警"},
    "lead_note": {
        "en": "churned = {silent} silent days, weekly scores, {right:.0%} of warnings right; "
        "at {early} days or more",
        "zh": "流失 = 连续{silent}天无订单，每周评分，{right:.0%}的预警正确；"
        "提前{early}天以上的比例",
    },
    "lead_x": {"en": "days before the day of churn", "zh": "距流失日的天数"},
    "lead_y": {"en": "share of churners warned of by then", "zh": "届时已预警的流失会员比例"},
}


def draw(report: Report, folder: Path, language: Language = "en") -> list[Path]:
    """Write roc.png, calibration.png, lift.png and, where there is one, lead.png into `folder`."""
    facts = {"days": report.horizon_days, "cutoffs": len(report.tests)}
    painters = {"roc": _roc, "calibration": _calibration, "lift": _lift}
    written = [
        drawing.save(
            folder / f"{name}.png",
            lambda axes, paint=paint: paint(report, axes, language),
            title=TEXTS[name][language],
            note=TEXTS[f"{name}_note"][language].format(**facts),
        )
        for name, paint in painters.items()
    ]
    lead = report.lead
    if lead is None or PRECISION not in lead.precisions:
        return written
    lead_png = drawing.save(
        folder / "lead.png",
        lambda axes: _lead(lead, axes, language),
        title=TEXTS["lead"][language],
        note=TEXTS["lead_note"][language].format(
            silent=lead.silent_days, early=lead.early_days, right=PRECISION
        ),
    )
    return [*written, lead_png]


def roc_points(outcome: F64, score: F64) -> tuple[F64, F64]:
    """False and true positive rates from (0, 0) to (1, 1), one point a distinct score."""
    _, group = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(group, weights=outcome))
    misses = np.cumsum(np.bincount(group, weights=1 - outcome))
    return (
        np.concatenate(([0.0], misses / max(misses[-1], 1))),
        np.concatenate(([0.0], hits / max(hits[-1], 1))),
    )


def _drawn(report: Report, figure: str, *, lowest: bool = False) -> list[str]:
    """Models with a colour, the best by a figure first."""
    models = [model for model in _COLOURS if model in report.mean]
    return sorted(models, key=lambda one: report.mean[one][figure] * (1 if lowest else -1))


def _pooled(report: Report, model: str) -> tuple[F64, F64]:
    outcome = np.concatenate([test.outcome for test in report.tests])
    return outcome, np.concatenate([test.probability[model] for test in report.tests])


def _line(axes: Axes, model: str, x: F64, y: F64, marker: str = "") -> None:
    first = model == "product"
    width, above = (2.6, 5) if first else (1.3, 3)
    axes.plot(x, y, color=_COLOURS[model], lw=width, zorder=above, marker=marker, ms=4.5)


def _roc(report: Report, axes: Axes, language: Language) -> None:
    lines: list[tuple[str, str]] = []
    for model in _drawn(report, "roc_auc"):
        _line(axes, model, *roc_points(*_pooled(report, model)))
        told = report.intervals[model]["roc_auc"]
        text = f"{NAMES[model][language]}  {told.value:.3f} [{told.low:.3f}, {told.high:.3f}]"
        lines.append((text, _COLOURS[model]))
    axes.plot([0, 1], [0, 1], color=drawing.FAINT, lw=1)
    drawing.key(axes, lines, at=(0.99, 0.05), rises=True)
    axes.set(
        xlabel=TEXTS["roc_x"][language],
        ylabel=TEXTS["roc_y"][language],
        xlim=(0, 1),
        ylim=(0, 1.005),
        aspect="equal",
    )


def _calibration(report: Report, axes: Axes, language: Language) -> None:
    lines: list[tuple[str, str]] = []
    for model in _drawn(report, "ece", lowest=True):
        if model not in ("product", "bgnbd", "logistic_rich", report.best_baseline):
            continue
        outcome, probability = _pooled(report, model)
        group = bins(probability, ECE_BINS)
        used = np.unique(group)
        said = np.array([probability[group == one].mean() for one in used])
        seen = np.array([outcome[group == one].mean() for one in used])
        _line(axes, model, said, seen, "o")
        lines.append(
            (f"{NAMES[model][language]}  {report.mean[model]['ece']:.3f}", _COLOURS[model])
        )
    axes.plot([0, 1], [0, 1], color=drawing.FAINT, lw=1)
    drawing.key(axes, lines, at=(0.99, 0.05), rises=True)
    axes.set(
        xlabel=TEXTS["calibration_x"][language],
        ylabel=TEXTS["calibration_y"][language],
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )


def _lift(report: Report, axes: Axes, language: Language) -> None:
    lines: list[tuple[str, str]] = []
    for model in _drawn(report, "lift"):
        outcome, probability = _pooled(report, model)
        ranked = outcome[np.argsort(-probability, kind="stable")]
        taken = np.arange(1, len(ranked) + 1)
        start = max(len(ranked) // 50, 1) - 1
        gain = np.cumsum(ranked) / taken / max(float(outcome.mean()), 1e-9)
        _line(axes, model, taken[start:] / len(ranked), gain[start:])
        lines.append(
            (f"{NAMES[model][language]}  {report.mean[model]['lift']:.2f}", _COLOURS[model])
        )
    axes.axhline(1, color=drawing.FAINT, lw=1)
    drawing.key(axes, lines, at=(0.99, 0.95), rises=False)
    axes.set(xlabel=TEXTS["lift_x"][language], ylabel=TEXTS["lift_y"][language], xlim=(0, 1))


def _lead(lead: LeadReport, axes: Axes, language: Language) -> None:
    chosen = {
        model: lead.models[model].level(PRECISION) for model in _COLOURS if model in lead.models
    }
    lines: list[tuple[str, str]] = []
    for model in sorted(chosen, key=lambda one: -chosen[one].any_early.value):
        level = chosen[model]
        if not len(level.days):
            continue
        # From the right: the share of churners whose warning came so many days ahead or more.
        churners = len(level.days) / max(level.any_recall.value, 1e-9)
        ahead = level.days[::-1]
        share = np.arange(1, len(ahead) + 1) / churners
        x, y = np.append(ahead, 0.0), np.append(share, share[-1])
        _line(axes, model, x, y)
        lines.append((f"{NAMES[model][language]}  {level.any_early.value:.0%}", _COLOURS[model]))
    axes.axvline(lead.early_days, color=drawing.FAINT, lw=1)
    drawing.key(axes, lines, at=(0.02, 0.95), rises=False)
    axes.set(
        xlabel=TEXTS["lead_x"][language],
        ylabel=TEXTS["lead_y"][language],
        xlim=(lead.silent_days, 0),
        ylim=(0, None),
    )
