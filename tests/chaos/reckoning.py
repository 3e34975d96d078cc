"""The figures of a run: what was asked, what broke, and what of it is lost, double or stuck."""

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from app import points
from app.kernel.db import Database
from tests.chaos.storm import Storm, coupon_key

# The table of docs/reliability.md, of which every test adds a line.
COLUMNS = (
    *("fault", "times", "requests", "asked again", "pushes", "streams resumed"),
    *("lost", "doubled", "oversold", "stuck", "back after s", "besides"),
)
LINES = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]


@dataclass(slots=True)
class Figures:
    """One line; `wrong` says what is lost, doubled, oversold or stuck."""

    name: str
    requests: int = 0
    again: int = 0
    faults: int = 0
    breaks: int = 0
    pushed: int = 0
    recovered: list[float] = field(default_factory=list[float])
    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    oversold: int = 0
    stuck: list[str] = field(default_factory=list[str])
    more: dict[str, object] = field(default_factory=dict[str, object])

    def show(self) -> None:
        """Print the line, and keep it for the table at the end of the session."""
        cells = [
            *(self.name, self.faults, self.requests, self.again, self.pushed, self.breaks),
            *(len(self.lost), len(self.doubled), self.oversold, len(self.stuck)),
            ", ".join(f"{seconds:.1f}" for seconds in self.recovered),
            ", ".join(f"{name} {value}" for name, value in self.more.items()),
        ]
        LINES.append(f"| {' | '.join(map(str, cells))} |")
        print(LINES[-1])

    def require_whole(self) -> None:
        """Nothing lost, double, oversold or stuck."""
        assert (self.lost, self.doubled, self.stuck) == ([], [], []), self
        assert not self.oversold, self


async def reckon(
    storm: Storm, name: str, recovered: list[float], more: dict[str, object] | None = None
) -> Figures:
    """Compare what clients were told with what PostgreSQL holds and what followers heard."""
    figures = Figures(
        name,
        requests=storm.crowd.requests,
        again=storm.crowd.again,
        faults=len(recovered),
        breaks=sum(one.breaks for one in (*storm.followers, *storm.watchers)),
        recovered=recovered,
        more=more or {},
    )
    connection = await asyncpg.connect(storm.house.database_url)
    try:
        await _coupons(storm, figures, connection)
        await _points(storm, figures, connection)
        await _orders(storm, figures, connection)
        await _pushes(storm, figures, connection)
    finally:
        await connection.close()
    await _ledger(storm, figures)
    figures.show()
    return figures


def _compare(figures: Figures, what: str, told: Counter[object], held: Counter[object]) -> None:
    figures.lost += [f"{what} {key}" for key in told - held]
    figures.doubled += [f"{what} {key}" for key in held - told]


async def _coupons(storm: Storm, figures: Figures, db: asyncpg.Connection) -> None:
    drop = storm.scene.drop
    rows = await db.fetch("SELECT member_id, id FROM coupon WHERE source_id = $1", drop)
    told: Counter[object] = Counter(
        (member, coupon_key(coupon)) for member, coupon in storm.told.coupons.items()
    )
    _compare(figures, "coupon", told, Counter((row["member_id"], row["id"]) for row in rows))
    claims = await db.fetch("SELECT member_id, coupon_id FROM drop_claim WHERE drop_id = $1", drop)
    _compare(
        figures, "claim", told, Counter((row["member_id"], row["coupon_id"]) for row in claims)
    )
    used = await db.fetch(
        "SELECT coupon_id FROM coupon_redemption WHERE member_id = ANY($1)", storm.scene.members
    )
    redeemed: Counter[object] = Counter(map(coupon_key, storm.told.redeemed))
    _compare(figures, "redemption", redeemed, Counter(row["coupon_id"] for row in used))
    claimed = await db.fetchval("SELECT claimed FROM coupon_drop WHERE id = $1", drop) or 0
    figures.oversold = max(0, len(rows) - storm.scene.stock, claimed - storm.scene.stock)
    if len(storm.told.coupons) + storm.told.sold_out != len(storm.scene.members):
        figures.stuck.append("claims without an answer")


async def _points(storm: Storm, figures: Figures, db: asyncpg.Connection) -> None:
    told, members = storm.told, storm.scene.members
    rows = await db.fetch(
        """SELECT member_id, count(*) AS number FROM points_entry
        WHERE kind = 'ADJUST' AND member_id = ANY($1) GROUP BY 1""",
        members,
    )
    held: Counter[object] = Counter({row["member_id"]: row["number"] for row in rows})
    adjusted: Counter[object] = Counter(told.adjusted.elements())
    _compare(figures, "adjustment", adjusted, held)
    days = await db.fetch("SELECT member_id FROM check_in WHERE member_id = ANY($1)", members)
    checked: Counter[object] = Counter(told.checked_in)
    _compare(figures, "check-in", checked, Counter(row["member_id"] for row in days))
    followed = members[: len(storm.followers)]
    sums = await db.fetch(
        "SELECT member_id, active FROM points_account WHERE member_id = ANY($1)", followed
    )
    balances = {row["member_id"]: row["active"] for row in sums}
    for member in followed:
        if balances.get(member, 0) != told.points[member]:
            figures.lost.append(f"points of {member}: {balances.get(member)}")


async def _orders(storm: Storm, figures: Figures, db: asyncpg.Connection) -> None:
    told: Counter[object] = Counter(storm.told.orders)
    rows = await db.fetch(
        "SELECT order_no FROM member_order WHERE member_id = ANY($1)", storm.scene.members
    )
    _compare(figures, "order", told, Counter(row["order_no"] for row in rows))
    lots = await db.fetch(
        """SELECT o.order_no FROM points_lot l JOIN member_order o ON o.id = l.order_id
        WHERE l.source = 'PURCHASE' AND l.member_id = ANY($1)""",
        storm.scene.members,
    )
    _compare(figures, "reward", told, Counter(row["order_no"] for row in lots))


async def _pushes(storm: Storm, figures: Figures, db: asyncpg.Connection) -> None:
    """Every fact after a follower's first, each once and in order."""
    for index, follower in enumerate(storm.followers):
        places = follower.places
        member: UUID = storm.scene.members[index]
        rows = await db.fetch(
            "SELECT seq FROM live_event WHERE topic = $1 AND seq >= $2 ORDER BY seq",
            f"member:{member}",
            places[0],
        )
        held = [row["seq"] for row in rows]
        moves = await db.fetchval(
            "SELECT count(*) FROM live_event WHERE topic = $1 AND kind = 'points.changed'",
            f"member:{member}",
        )
        known = storm.told.adjusted[member] + (member in storm.told.checked_in)
        told: Counter[object] = Counter({member: known})
        _compare(figures, "fact", told, Counter({member: moves}))
        figures.pushed += len(places)
        _compare(figures, "push", Counter(held), Counter(places))
        if sorted(places) != places:
            figures.doubled.append("a stream went backwards")
    for watcher in storm.watchers:
        left = [update["drop"]["remaining"] for update in watcher.updates]
        if left != sorted(left, reverse=True):
            figures.doubled.append("a drop's stock rose")
        if not left or left[-1] != 0:
            figures.stuck.append("a watcher of the drop")


async def _ledger(storm: Storm, figures: Figures) -> None:
    database = Database(storm.house.database_url)
    try:
        async with database.read() as read:
            breaches = await points.audit(read)
    finally:
        await database.close()
    figures.lost += [f"ledger: {breach}" for breach in breaches]


def told(codes: Counter[str]) -> str:
    """How often each code was answered."""
    return " ".join(f"{number} {code}" for code, number in codes.most_common())
