"""What a back-test of two models must show before one takes the other's place."""

from typing import Any

from app.kernel.table import Json

FEWEST_MEMBERS = 30
"""A comparison over fewer rows decides nothing."""

SLACK = {"brier": 0.002, "roc_auc": 0.005}
"""So much worse in one figure is nothing against being better beyond chance in the other."""


def horizon_of(manifest: Json) -> int | None:
    """How many days the model of a manifest predicts; None where it does not say.

    >>> horizon_of({"about": {"horizon_days": 30}}), horizon_of({})
    (30, None)
    """
    about: Any = manifest.get("about")
    days = about.get("horizon_days") if isinstance(about, dict) else None
    # The database may hand an integer back as a float.
    return int(days) if isinstance(days, int | float) else None


def beside(evidence: Json | None, rival: str) -> bool:
    """True when the evidence compares with the model of this version."""
    return evidence is not None and evidence.get("rival") == rival and bool(_windows(evidence))


def wins(evidence: Json) -> bool:
    """True when the challenger was better beyond chance in one figure, and no worse in the other.

    `gain` holds a paired difference with its 95% interval for the Brier score and for ROC AUC,
    positive where the challenger is better: the lower end of one must be above 0, and neither
    difference below -`SLACK`. Two models that do alike change nothing.

    >>> def tried(brier, roc_auc):
    ...     ends = {"brier": brier, "roc_auc": roc_auc}
    ...     gain = {name: {"mean": sum(e) / 2, "low": e[0]} for name, e in ends.items()}
    ...     return {"windows": [{"members": 900}], "gain": gain}
    >>> wins(tried((0.001, 0.004), (-0.1, 0.1))), wins(tried((-0.1, 0.1), (-0.1, 0.1)))
    (True, False)
    >>> wins(tried((0.1, 0.2), (-0.2, -0.1)))
    False
    """
    gains: dict[str, Any] = evidence.get("gain") or {}
    if sum(int(one.get("members") or 0) for one in _windows(evidence)) < FEWEST_MEMBERS:
        return False
    lows = [_number(gains, name, "low") for name in SLACK]
    means = {name: _number(gains, name, "mean") for name in SLACK}
    return max(lows) > 0 and all(means[name] >= -slack for name, slack in SLACK.items())


def _windows(evidence: Json) -> list[Json]:
    found: list[Json] = evidence.get("windows") or []
    return found


def _number(gains: dict[str, Any], name: str, part: str) -> float:
    """A number of the gain in a figure; of what is missing or none, as bad as can be."""
    found = (gains.get(name) or {}).get(part)
    return float(found) if isinstance(found, int | float) else float("-inf")
