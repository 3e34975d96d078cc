"""What `linli backtest` prints: tables for people within 100 columns, JSON for programs."""

from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ml.backtest import Report, Test
    from ml.bootstrap import Interval
    from ml.evaluation import Gain
    from ml.files import Tally
    from ml.lead import LeadReport, Level

_FIGURES: Final = (
    ("roc_auc", "ROC AUC"),
    ("pr_auc", "PR AUC"),
    ("brier", "Brier"),
    ("ece", "ECE"),
    ("lift", "lift"),
)
_NAMES: Final = {
    "product": "Linli (as deployed)",
    "xgboost": "XGBoost alone",
    "lightgbm": "LightGBM",
    "logistic_rich": "logistic, all columns",
    "cnbd": "CNBD-k",
    "bgnbd": "BG/NBD",
    "logistic": "logistic regression",
    "recency_frequency": "recency × frequency",
    "rfm": "RFM score",
    "recency": "recency only",
}
_LEAD_NAMES: Final = _NAMES | {
    "product": "Linli",
    "product_horizon": "Linli, by its horizon",
    "cnbd_lasting": "CNBD-k, days to come",
    "bgnbd_lasting": "BG/NBD, days to come",
}
_KINDS: Final = {
    "hindsight": "chosen in hindsight",
    "fixed": "set once before the first week",
    "following": "set each week from the last four",
}
_WIDTH: Final = 100
_SHOWN: Final = 0.8


def day(instant: int) -> str:
    """An instant's day, as 2011-06-02."""
    return datetime.fromtimestamp(instant, UTC).date().isoformat()


def plain(report: "Report", tally: "Tally", images: list[Path]) -> dict[str, Any]:
    """Everything as JSON, null where the data settle nothing; docs/churn.md has the keys."""
    return {
        "horizon_days": report.horizon_days,
        "active_days": report.active_days,
        "draws": report.draws,
        "rows": {
            "read": tally.rows,
            "used": tally.used,
            "left_out": tally.left_out,
            "first": tally.first,
            "ignored_columns": list(tally.ignored),
            "remarks": tally.remarks,
        },
        "cutoffs": [_plain_cutoff(test) for test in report.tests],
        "mean": {m: _numbers(figures) for m, figures in report.mean.items()},
        "intervals": {m: _intervals(figures) for m, figures in report.intervals.items()},
        "gain": {"over": report.best_baseline, **_plain_gain(report.gain)},
        "gains": {model: _plain_gain(gain) for model, gain in report.gains.items()},
        "when": {
            who: {
                "within_days": told.within,
                "concordance": _number(told.concordance),
                "mean_absolute_error_days": _number(told.error),
            }
            for who, told in report.timing.items()
        },
        "lead": None if report.lead is None else _plain_lead(report.lead),
        "plots": [str(image) for image in images],
    }


def _plain_cutoff(test: "Test") -> dict[str, Any]:
    return {
        "day": day(test.cutoff),
        "members": len(test.members),
        "silent_share": float(test.outcome.mean()),
        "chosen": test.choice,
        "correction": test.correction,
        "trained_on": [day(cutoff) for cutoff in test.trained_on],
        "models": {
            model: _numbers({figure: getattr(metrics, figure) for figure, _ in _FIGURES})
            for model, metrics in test.metrics.items()
        },
        "intervals": {model: _intervals(figures) for model, figures in test.intervals.items()},
    }


def _plain_gain(gain: "Gain") -> dict[str, Any]:
    return {"auc": _number(gain.mean), "interval": [_number(gain.low), _number(gain.high)]}


def _plain_lead(lead: "LeadReport") -> dict[str, Any]:
    return {
        "silent_days": lead.silent_days,
        "early_days": lead.early_days,
        "precisions": list(lead.precisions),
        "weeks": lead.weeks,
        "silences": lead.silences,
        "churned_share": lead.churned_share,
        "models": {
            model: {
                **_with_interval("average_precision", one.average_precision),
                "levels": [_plain_level(level) for level in one.levels],
            }
            for model, one in lead.models.items()
        },
        "gains": {
            model: _with_interval("average_precision", gain) for model, gain in lead.gains.items()
        },
    }


def _plain_level(level: "Level") -> dict[str, Any]:
    return {
        "precision": level.precision,
        "threshold": _number(level.threshold),
        "rules": [
            {
                "kind": rule.kind,
                **_with_interval("precision", rule.precision),
                **_with_interval("recall", rule.recall),
            }
            for rule in level.rules
        ],
        "any": {
            "threshold": _number(level.any_threshold),
            **_with_interval("recall", level.any_recall),
            **_with_interval("early", level.any_early),
            "quartiles_days": [_number(days) for days in level.quartiles],
        },
    }


def _with_interval(name: str, told: "Interval") -> dict[str, Any]:
    interval = [_number(told.low), _number(told.high)]
    return {name: _number(told.value), f"{name}_interval": interval}


def _intervals(figures: "dict[str, Interval]") -> dict[str, Any]:
    return {name: [_number(told.low), _number(told.high)] for name, told in figures.items()}


def _numbers(figures: dict[str, float]) -> dict[str, Any]:
    return {name: _number(value) for name, value in figures.items()}


def _number(value: float) -> float | None:
    # JSON has neither infinity nor NaN.
    return value if isfinite(value) else None


def show(report: "Report", tally: "Tally", written: list[Path]) -> None:
    """The tables, and where files were written."""
    out = Console()
    if out.width > _WIDTH:
        out = Console(width=_WIDTH)
    _say_rows(out, tally)
    out.print(_by_cutoff(report))
    chosen = ", ".join(f"{day(test.cutoff)} {test.choice}" for test in report.tests)
    _say(out, f"Kind of model chosen on each cutoff's own past: {chosen}.")
    out.print(_by_model(report))
    _say(
        out,
        "Higher is better for ROC AUC, PR AUC and lift (the riskiest tenth against all); lower for "
        "Brier and ECE (calibration error in ten bins of equal size). Lower lines: 95% of "
        f"{report.draws:,} draws of customers, each with all of their rows.",
        style="dim",
    )
    gain = report.gain
    if isfinite(gain.mean):
        _say(
            out,
            f"AUC gain of Linli over the best baseline ({_NAMES[report.best_baseline]}): "
            f"{gain.mean:+.4f} (95% interval {gain.low:+.4f} to {gain.high:+.4f}, paired)",
        )
    else:
        _say(out, "At a cutoff everybody, or nobody, fell silent: no ranking can be judged.")
    _say_when(out, report)
    if report.lead is not None:
        out.print(_by_lead(report.lead))
        out.print(_by_rule(report.lead))
    for path in written:
        out.print(f"Written: {path}", highlight=False, markup=False, soft_wrap=True)


def _say_rows(out: Console, tally: "Tally") -> None:
    _say(out, f"{tally.used:,} of {tally.rows:,} rows used.")
    for reason, number in tally.left_out.items():
        first, remedy = tally.first.get(reason), tally.remedy(reason)
        text = f"  left out: {number:,} × {reason}" + (f" (first: {first})" if first else "")
        _say(out, text + (f"; {remedy}" if remedy else ""))
    if tally.ignored:
        _say(
            out,
            f"  not read: the column{'s' * (len(tally.ignored) > 1)} {', '.join(tally.ignored)}",
        )
    for remark in tally.remarks:
        _say(out, f"  {remark}")


def _say_when(out: Console, report: "Report") -> None:
    timing = report.timing
    if "product" in timing and isfinite(timing["product"].concordance):
        product, rhythm = timing["product"], timing["own_rhythm"]
        _say(
            out,
            f"Days until the next order, followed for {product.within:.0f}: concordance "
            f"{product.concordance:.3f}, off by {product.error:.1f} days on average; by each "
            f"customer's own median interval {rhythm.concordance:.3f} and {rhythm.error:.1f}.",
        )


def _say(out: Console, text: str, style: str | None = None) -> None:
    out.print(text, highlight=False, markup=False, style=style)


def _table(title: str, *headings: str) -> Table:
    """A table whose first column is text and whose others are numbers, as narrow as can be."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def _by_cutoff(report: "Report") -> Table:
    figures = [heading for _, heading in _FIGURES]
    table = _table("Linli at each cutoff", "cutoff", "members", "silent", *figures)
    for test in report.tests:
        told = test.intervals["product"]
        cells = [_cell(told[figure]) for figure, _ in _FIGURES]
        silent = f"{test.outcome.mean():.1%}"
        table.add_row(day(test.cutoff), f"{len(test.members):,}", silent, *cells)
    return table


def _by_model(report: "Report") -> Table:
    title = f"Mean over {len(report.tests)} cutoffs, {report.horizon_days} days ahead"
    table = _table(title, "model", *(heading for _, heading in _FIGURES), "AUC gain")
    for model, name in _NAMES.items():
        if model not in report.mean:
            continue
        cells = [_cell(report.intervals[model][figure]) for figure, _ in _FIGURES]
        over = _over(report.gains.get(model))
        table.add_row(name, *cells, over, style="bold" if model == "product" else None)
    return table


def _by_lead(lead: "LeadReport") -> Table:
    table = _table(
        f"Warned {lead.early_days} days or more before {lead.silent_days} days of silence: "
        f"{lead.weeks} weeks, {lead.silences:,} silences, {lead.churned_share:.0%} churn",
        "model",
        "average\nprecision",
        *(f"churners at\n{precision:.0%} right" for precision in lead.precisions),
        f"days ahead, all,\n{_SHOWN:.0%} right",
    )
    for model, name in _LEAD_NAMES.items():
        one = lead.models.get(model)
        if one is None:
            continue
        cells = [
            _cell(one.average_precision),
            *(_percent(level.rules[0].recall) for level in one.levels),
        ]
        quartiles = one.level(_SHOWN).quartiles
        days = " · ".join(f"{days:.0f}" for days in quartiles) if isfinite(quartiles[0]) else "none"
        table.add_row(name, *cells, days, style="bold" if model == "product" else None)
    return table


def _by_rule(lead: "LeadReport") -> Table:
    table = _table(
        "Linli's early warnings: share that was right, and churners warned of",
        "threshold",
        *(f"asked for {precision:.0%}" for precision in lead.precisions),
    )
    levels = lead.models["product"].levels
    for kind, name in _KINDS.items():
        table.add_row(name, *(_kept(level, kind) for level in levels))
    return table


def _kept(level: "Level", kind: str) -> str:
    """What one kind of threshold kept of its promise."""
    told = [rule for rule in level.rules if rule.kind == kind]
    if not told or not isfinite(told[0].precision.value):
        return "none"
    return f"{told[0].precision.value:.0%} right, {told[0].recall.value:.0%}"


def _cell(told: "Interval") -> str:
    """A figure with its interval in the line below."""
    if not isfinite(told.value):
        return "none"
    low, high = (f"{value:.3f}".removeprefix("0") for value in (max(told.low, 0), told.high))
    return f"{told.value:.4f}\n{low}–{high}"


def _over(gain: "Gain | None") -> str:
    """A gain with its interval in the line below."""
    if gain is None or not isfinite(gain.mean):
        return ""
    return f"{gain.mean:+.4f}\n{_short(gain.low)}…{_short(gain.high)}"


def _short(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


def _percent(told: "Interval") -> str:
    return f"{told.value:.1%}\n{max(told.low, 0):.0%}–{told.high:.0%}"
