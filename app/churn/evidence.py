"""What a back-test of two models must show before one takes the other's place."""

from typing import Any

from app.kernel.table import Json

FEWEST_MEMBERS = 30
"""A comparison over fewer rows decides nothing."""


def beside(evidence: Json | None, rival: str) -> bool:
    """True when the evidence compares with the model of this version."""
    return evidence is not None and evidence.get("rival") == rival and bool(_windows(evidence))


def wins(evidence: Json) -> bool:
    """True when the challenger was better beyond chance, and in nothing worse beyond chance.

    `gain` holds a paired difference with its 95% interval for the Brier score and for ROC AUC,
    positive where the challenger is better: the lower end of one must be above 0, and no upper end
    below it. Two models that do alike change nothing.

    >>> def tried(brier, roc_auc):
    ...     ends = {"brier": brier, "roc_auc": roc_auc}
    ...     gain = {name: {"low": low, "high": high} for name, (low, high) in ends.items()}
    ...     return {"windows": [{"members": 900}], "gain": gain}
    >>> wins(tried((0.001, 0.004), (-0.1, 0.1))), wins(tried((-0.1, 0.1), (-0.1, 0.1)))
    (True, False)
    >>> wins(tried((0.1, 0.2), (-0.2, -0.1)))
    False
    """
    gains: dict[str, Any] = evidence.get("gain") or {}
    ends = [gains.get(name) or {} for name in ("brier", "roc_auc")]
    lows, highs = ([_number(end.get(name)) for end in ends] for name in ("low", "high"))
    if sum(int(one.get("members") or 0) for one in _windows(evidence)) < FEWEST_MEMBERS:
        return False
    known = all(end is not None for end in (*lows, *highs))
    return known and max(low or 0.0 for low in lows) > 0 and min(h or 0.0 for h in highs) >= 0


def _windows(evidence: Json) -> list[Json]:
    found: list[Json] = evidence.get("windows") or []
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
