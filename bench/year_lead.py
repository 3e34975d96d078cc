"""How long ahead the year's alerts came, how rightly, and beside whom: a part of `bench.year`.

What is counted is the same as in a back-test (`ml/lead.py`): silences of members, of whom those
count as churned that last 90 days; a warning is early when it comes 45 days before that day or
sooner. An alert is right if no order came in the 45 days after it, whatever became of the member
later: whoever orders on was no leaver yet. Only lives are looked at in which nothing was done
(members held out of the whole playbook), and every rule speaks of the same lives.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ml import aft, expectations, features, lead
from ml.arrays import DAY, F64, I32, I64, Bools, logit, sigmoid
from ml.facts import NEVER, Facts
from ml.history import fold
from ml.silences import Silences

HORIZON = 45 * DAY
RIVALS = ("to_day_90", "bgnbd", "recency")
"""The product's own odds that the silence lasts to the day of churn; BG/NBD; days of silence."""
_STEPS = 20

Said = tuple[int, I64, F64, F64]
"""An instant, members' codes (ascending), the product's probabilities for them, and its medians of
the days until their next order."""


@dataclass(frozen=True)
class Reached:
    """What warnings were worth: how many silences, the shares that were right, who was reached."""

    warned: int
    right: float
    churned: float
    early: float
    ever: float
    quartiles: tuple[float, float, float]

    def __str__(self) -> str:
        """One line of the report."""
        low, middle, high = self.quartiles
        return (
            f"{self.warned:>5,} warned, {self.right:.0%} right (no order in 45 days), "
            f"{self.churned:.0%} churned; of all churners {self.early:.0%} 45 days ahead or more, "
            f"{self.ever:.0%} at all; days ahead {middle:.0f} ({low:.0f} to {high:.0f})"
        )


class Lives:
    """The silences of members in whose lives nothing was done, scored week by week."""

    def __init__(self, facts: Facts, untouched: Bools, weeks: Iterable[Said]) -> None:
        """`untouched` says of each code of the facts whether nothing was done for that member."""
        self.facts = facts.in_order()
        self.silences = Silences(self.facts)
        fitted: tuple[int, expectations.Expectations] | None = None
        for at, members, said, told in weeks:
            if fitted is None or at - fitted[0] >= 26 * 7 * DAY:
                fitted = at, features.fit_expectations(self.facts.before(at), at)
            known = untouched[members]
            chosen, scores = members[known].astype(np.int32), {"product": said[known]}
            silent = self._silent(at, chosen)
            left = np.maximum(self.silences.silent / DAY - silent, 1.0)
            odds = aft.lasting(logit(said[known]), told[known], HORIZON // DAY, left)
            scores["to_day_90"] = sigmoid(odds)
            days = expectations.columns(fold(self.facts, at, chosen), fitted[1], HORIZON // DAY)
            scores |= {"bgnbd": days["bgnbd_silent"], "recency": silent}
            self.silences.score(at, chosen.astype(np.int64), scores)

    def _silent(self, at: int, members: I32) -> F64:
        last = np.full(len(self.facts.member_ids), -np.inf)
        seen = self.facts.seen(at)
        np.maximum.at(last, self.facts.order_member[seen], self.facts.order_at[seen])
        return (at - last[members]) / DAY

    def counted(self) -> Bools:
        """Silences that began in the year and whose end is known."""
        return self.silences.whole()

    def by_alerts(self, alerts: Sequence[tuple[int, int]]) -> I64:
        """When each silence was first alerted (member's code, instant), or NEVER."""
        own = self.silences
        key = own.member * (1 << 34) + own.begun
        first = np.full(len(own.begun), NEVER, dtype=np.int64)
        for member, at in alerts:
            place = int(np.searchsorted(key, member * (1 << 34) + at)) - 1
            if place >= 0 and own.member[place] == member and at < own.begun[place] + own.silent:
                first[place] = min(int(first[place]), at)
        return first

    def by_rule(self, model: str, count: int) -> I64:
        """Warnings of a rule whose level, chosen in hindsight, warns of about so many silences."""
        own, counted = self.silences, self.counted()
        values = np.unique(np.concatenate([week.scores[model] for week in own.weeks]))
        low, high = 0, len(values) - 1
        for _ in range(_STEPS):
            middle = (low + high) // 2
            warned = own.warned(model, [float(values[middle])] * len(own.weeks), early=False)
            if int((warned[counted] < NEVER).sum()) > count:
                low = min(middle + 1, high)
            else:
                high = middle
        return own.warned(model, [float(values[high])] * len(own.weeks), early=False)

    def judged(self, warned: I64) -> Reached:
        """What warnings were worth, over the silences that count."""
        own, counted = self.silences, self.counted()
        at, begun, churned = warned[counted], own.begun[counted], own.churned[counted]
        there = at < NEVER
        stayed_away = own.woken[counted][there] - at[there] >= HORIZON
        ahead = (begun + own.silent - at)[there & churned] / DAY
        soon = there & churned & (at - begun <= own.early)
        total = max(1, int(churned.sum()))
        low, middle, high = np.quantile(ahead, [0.25, 0.5, 0.75]) if len(ahead) else (np.nan,) * 3
        return Reached(
            int(there.sum()),
            float(stayed_away.mean()) if len(stayed_away) else float("nan"),
            float(churned[there].mean()) if there.any() else float("nan"),
            int(soon.sum()) / total,
            int((there & churned).sum()) / total,
            (float(low), float(middle), float(high)),
        )

    def lines(self, alerts: Sequence[tuple[int, int]]) -> Iterator[str]:
        """The report: the alerts as they were, the rivals at the same number, all precisions."""
        counted = self.counted()
        total, churned = int(counted.sum()), int(self.silences.churned[counted].sum())
        yield f"lives in which nothing was done: {total:,} silences, {churned:,} of 90 days or more"
        ours = self.judged(self.by_alerts(alerts))
        yield f"  {'the alerts':<24}{ours}"
        for rival in RIVALS:
            label = f"{rival}, as many warnings"
            yield f"  {label:<24}{self.judged(self.by_rule(rival, ours.warned))}"
        report = lead.report(self.silences)
        if report is None:
            return
        for model, one in report.models.items():
            shares = "; ".join(
                f"at {level.precision:.0%} right {level.rules[0].recall.value:.0%} of churners"
                for level in one.levels
            )
            mean = one.average_precision
            yield (
                f"  {model:<24}average precision of warnings 45 days ahead {mean.value:.3f} "
                f"({mean.low:.3f} to {mean.high:.3f}); in hindsight {shares}"
            )
        for model, gain in report.gains.items():
            yield (
                f"  the alerts' probability less {model}: {gain.value:+.3f} "
                f"({gain.low:+.3f} to {gain.high:+.3f}, paired)"
            )
