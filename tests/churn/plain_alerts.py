"""The life of one member's alerts in plain Python, as docs/churn.md tells it: the oracle."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

TRIGGER, SHARE, CALM = 0.7, 0.8, 0.7
LEVEL = HOLD = timedelta(hours=72)
HORIZON = timedelta(days=45)
NEXT = {"OPEN": "L1", "L1": "L2", "L2": "L3"}


class Refused(Exception):
    """The plain no, with the code that the command gives."""


@dataclass
class PlainAlert:
    """One alert, from its rise on."""

    probability: float
    trigger: float
    cause: str
    as_of: datetime
    due: datetime | None
    states: list[str] = field(default_factory=lambda: ["OPEN"])
    owner: int | None = None
    held: datetime | None = None
    seen_by: int | None = None

    @property
    def state(self) -> str:
        return self.states[-1]

    def is_held(self, now: datetime) -> bool:
        return self.held is not None and self.held > now


@dataclass
class PlainMember:
    """One member: score, orders, signal and alerts."""

    effect: str
    vip: bool = False
    score: tuple[datetime, float] | None = None
    latched: bool = False
    orders: list[datetime] = field(default_factory=list[datetime])
    signal: datetime | None = None
    faded: list[datetime] = field(default_factory=list[datetime])
    mutes: list[datetime] = field(default_factory=list[datetime])
    alert: PlainAlert | None = None
    over: list[PlainAlert] = field(default_factory=list[PlainAlert])

    def trigger(self) -> float:
        return TRIGGER * SHARE if self.signal and self.effect != "NONE" else TRIGGER

    def end(self, state: str) -> None:
        assert self.alert is not None
        self.alert.states.append(state)
        self.alert.due = None
        self.over.append(self.alert)
        self.alert = None

    def ordered_since(self, at: datetime) -> bool:
        return any(paid >= at for paid in self.orders)

    def give_score(self, now: datetime, as_of: datetime, probability: float) -> None:
        if self.score is not None and as_of <= self.score[0]:
            return
        self.score = (as_of, probability)
        if self.alert is not None:
            self.alert.probability = probability
            self.calm_down(self.alert)
        self.unlatch(probability)
        self.rise(now)

    def calm_down(self, alert: PlainAlert) -> None:
        lasts = self.signal is not None or any(at >= alert.as_of for at in self.faded)
        if alert.cause == "SIGNAL" and lasts:
            return
        if alert.probability <= CALM * alert.trigger:
            self.end("RECOVERED")

    def unlatch(self, probability: float) -> None:
        if self.effect == "RAISE" and self.signal:
            return
        latest = self.alert.state if self.alert else self.over[-1].state if self.over else None
        below = probability < self.trigger() and latest == "RECOVERED"
        if below or probability <= CALM * self.trigger():
            self.latched = False

    def rise(self, now: datetime) -> None:
        if self.score is None or self.latched or self.alert is not None:
            return
        as_of, probability = self.score
        by_score = probability >= self.trigger()
        by_signal = self.effect == "RAISE" and self.signal is not None
        if not by_score and not by_signal:
            return
        if any(until > now for until in self.mutes) or self.ordered_since(as_of):
            return
        cause = "SCORE" if by_score else "SIGNAL"
        first, due = ("L2", now + LEVEL) if self.vip else ("OPEN", now)
        self.alert = PlainAlert(probability, self.trigger(), cause, as_of, due, [first])
        self.latched = True

    def look_at_due(self, now: datetime) -> None:
        alert = self.alert
        if alert is None:
            return
        if alert.owner is not None and not alert.is_held(now):
            alert.owner = alert.held = None
        if alert.due is None or alert.due > now or alert.is_held(now):
            return
        if self.ordered_since(alert.as_of):
            self.end("RECOVERED")
            return
        alert.states.append(NEXT[alert.state])
        alert.due = now + LEVEL if alert.state in ("L1", "L2") else None

    def settle(self, now: datetime) -> None:
        if self.alert is None:
            return
        if self.ordered_since(self.alert.as_of):
            self.end("RECOVERED")
        elif self.alert.as_of + HORIZON <= now:
            self.end("CHURNED")

    def recover(self) -> None:
        if self.alert is not None and self.ordered_since(self.alert.as_of):
            self.end("RECOVERED")

    def in_hand(self) -> PlainAlert:
        if self.alert is None:
            raise Refused("ALERT_CLOSED" if self.over else "ALERT_NOT_FOUND")
        return self.alert

    def free_for(self, who: int, now: datetime) -> PlainAlert:
        alert = self.in_hand()
        if alert.owner not in (None, who) and alert.is_held(now):
            raise Refused("ALERT_TAKEN")
        return alert

    def acknowledge(self, who: int) -> None:
        alert = self.in_hand()
        alert.seen_by = alert.seen_by or who

    def take(self, who: int, now: datetime) -> None:
        alert = self.free_for(who, now)
        alert.seen_by = alert.seen_by or who
        alert.owner, alert.held = who, now + HOLD

    def hand_back(self, who: int) -> None:
        alert = self.in_hand()
        if alert.owner is None:
            raise Refused("ALERT_NOT_TAKEN")
        if alert.owner != who:
            raise Refused("NOT_ALLOWED")
        alert.owner = alert.held = None

    def mute(self, who: int, now: datetime, until: datetime) -> None:
        self.free_for(who, now)
        self.end("MUTED")
        self.mutes.append(until)
        self.latched = False

    def unmute(self, now: datetime) -> None:
        """Of the newest alert's mute."""
        newest = self.alert or (self.over[-1] if self.over else None)
        if newest is None:
            raise Refused("ALERT_NOT_FOUND")
        if newest.state != "MUTED" or self.mutes[-1] <= now:
            raise Refused("ALERT_NOT_MUTED")
        self.mutes[-1] = now

    def close(self, who: int, now: datetime, verdict: str) -> None:
        self.free_for(who, now)
        self.end(verdict)
