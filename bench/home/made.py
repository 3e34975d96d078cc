"""Made-up members and what they have, as rows for COPY. A seed makes them the same again.

Of every kind a round over all members is made before the next, so that a member's rows lie apart on
the disk, as they would after months of use; ids grow in time as ours do.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

COMMUNITIES = 50
TEMPLATES = 20
COUPONS = 15
ENTRIES = 20
BALLOTS = 8
TIERS = ("NORMAL",) * 7 + ("GOLD",) * 2 + ("DIAMOND",)
BADGES = ("GREEN_START", "STEADY_30", "CARBON_SAVER")
DAY = timedelta(days=1)

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What one COPY takes."""

    table: str
    columns: str
    rows: Iterator[Row]


class World:
    """So many members as of an instant."""

    def __init__(self, members: int, now: datetime, seed: int = 20260321) -> None:
        """Draw the ids that several tables share; everything else is made while it is copied."""
        self._random = random.Random(seed)
        self._now = now.astimezone(UTC)
        self._begun = self._now - 730 * DAY
        joined = 600 * DAY / members
        self._joined = [self._begun + n * joined for n in range(members)]
        self._members = [self._id(at) for at in self._joined]
        self._communities = self._ids(COMMUNITIES)
        self._templates = self._ids(TEMPLATES)
        self._batches = self._ids(TEMPLATES)
        self._ballots = self._ids(BALLOTS)
        self._options = [self._ids(2 + n % 3) for n in range(BALLOTS)]

    def tables(self) -> Iterator[Rows]:
        """Every table, those referred to first."""
        yield from self._people()
        yield from self._points()
        yield from self._coupons()
        yield from self._votes()

    def _id(self, at: datetime) -> UUID:
        noise = self._random.getrandbits(74)
        millis = int(at.timestamp() * 1000)
        high = (millis << 16) | 0x7000 | (noise >> 62)
        return UUID(int=(high << 64) | (0b10 << 62) | (noise & ((1 << 62) - 1)))

    def _ids(self, count: int) -> list[UUID]:
        return [self._id(self._begun) for _ in range(count)]

    def _moments(self, rounds: int) -> Iterator[tuple[int, int, datetime]]:
        """(round, member's number, instant), the instants growing up to yesterday."""
        count = len(self._members)
        step = 120 * DAY / (rounds * count)
        at = self._now - 121 * DAY
        for round_ in range(rounds):
            for number in range(count):
                yield round_, number, at
                at += step

    def _people(self) -> Iterator[Rows]:
        begun, now, members = self._begun, self._now, self._members
        yield Rows(
            "community",
            "id name time_zone created_at",
            ((id_, f"小区{n}", "Asia/Shanghai", begun) for n, id_ in enumerate(self._communities)),
        )
        yield Rows(
            "member",
            "id community_id nickname status locale registered_at",
            (
                (id_, self._communities[n % COMMUNITIES], f"会员{n}", "ACTIVE", "zh-CN", at)
                for n, (id_, at) in enumerate(zip(members, self._joined, strict=True))
            ),
        )
        # Good for ten years, because the loaded database is kept between runs.
        yield Rows(
            "login_session",
            "id subject_kind subject_id opened_at expires_at",
            ((self._id(now), "member", id_, now, now + 3650 * DAY) for id_ in members),
        )
        yield Rows(
            "tier_standing",
            "member_id tier_code since growth growth_at",
            (
                (id_, TIERS[n % len(TIERS)], self._joined[n], n * 7919 % 9000, now)
                for n, id_ in enumerate(members)
            ),
        )
        yield Rows(
            "badge_award",
            "member_id badge_code number issued_at evidence",
            (
                (self._members[n], BADGES[round_], 1, at, json.dumps({"figure": 1 + n % 40}))
                for round_, n, at in self._moments(len(BADGES))
                if (n + round_) % 3
            ),
        )

    def _points(self) -> Iterator[Rows]:
        """Fifteen lots and five spendings a member, each of which uses one lot up."""
        members, now = self._members, self._now
        yield Rows(
            "points_account",
            "member_id currency active pending changed_at",
            (
                (id_, "POINTS", sum(amount(n, lot) for lot in range(5, 14)), amount(n, 14), now)
                for n, id_ in enumerate(members)
            ),
        )
        yield Rows(
            "points_lot",
            "member_id id currency source rule subject amount remaining status earned_at "
            "available_at expires_at",
            (self._lot(lot, n, at) for lot, n, at in self._moments(15)),
        )
        yield Rows(
            "points_entry",
            "member_id currency kind amount active_delta pending_delta source at",
            (self._entry(entry, n, at) for entry, n, at in self._moments(ENTRIES)),
        )

    def _lot(self, lot: int, n: int, at: datetime) -> Row:
        whole = amount(n, lot)
        head = (self._members[n], self._id(at), "POINTS", "PURCHASE", "purchase", f"order {lot}")
        if lot == 14:  # of an order that may still be returned
            return (*head, whole, whole, "PENDING", at, None, None)
        ends = at + (60 + 25 * (n % 13)) * DAY + 300 * DAY
        state, left = ("EXHAUSTED", 0) if lot < 5 else ("ACTIVE", whole)
        return (*head, whole, left, state, at, at, ends)

    def _entry(self, entry: int, n: int, at: datetime) -> Row:
        """Three earnings, then a spending; the last lot is pending."""
        who = self._members[n]
        turn, place = divmod(entry, 4)
        if place == 3:
            points = amount(n, turn)
            return (who, "POINTS", "SPEND", points, -points, 0, None, at)
        lot = turn * 3 + place
        points = amount(n, lot)
        active, pending = (0, points) if lot == 14 else (points, 0)
        return (who, "POINTS", "EARN", points, active, pending, "PURCHASE", at)

    def _coupons(self) -> Iterator[Rows]:
        begun, now = self._begun, self._now
        yield Rows(
            "coupon_template",
            "id name kind value threshold_fen max_discount_fen validity wait_days valid_days "
            "return_policy created_at",
            (self._template(n, id_) for n, id_ in enumerate(self._templates)),
        )
        count = len(self._members)
        yield Rows(
            "coupon_batch",
            "id template_id quantity budget_fen code_mode state granted created_at",
            (
                (id_, self._templates[n], 2 * count, 10**12, "UNIQUE", "ACTIVE", count, begun)
                for n, id_ in enumerate(self._batches)
            ),
        )
        yield Rows(
            "coupon",
            "member_id id batch_id template_id nth source state code usable_from expires_at "
            "granted_at",
            (self._coupon(round_, n, at, now) for round_, n, at in self._moments(COUPONS)),
        )

    def _template(self, n: int, id_: UUID) -> Row:
        off, threshold = 100 * (1 + n), 100 * (20 + n)
        name = f"满{20 + n}元减{1 + n}元"
        lasting = ("RELATIVE", 0, 400, "NEVER", self._begun)
        return (id_, name, "FIXED", off, threshold, off, *lasting)

    def _coupon(self, round_: int, n: int, at: datetime, now: datetime) -> Row:
        make = (n * 3 + round_) % TEMPLATES
        state = "REDEEMED" if round_ % 5 == 2 else "ACTIVE"
        code = f"{round_:02d}{n:08d}"
        who = self._members[n]
        made_by = (self._batches[make], self._templates[make], 1, "STAFF")
        return (who, self._id(at), *made_by, state, code, at, now + (30 + n % 300) * DAY, at)

    def _votes(self) -> Iterator[Rows]:
        now, ballots = self._now, self._ballots
        yield Rows(
            "ballot",
            "id question method stages tiers opens_at closes_at visibility quorum_percent "
            "tie_rule change_until_close state created_by created_at opened_at roll_size",
            (self._ballot(n, id_) for n, id_ in enumerate(ballots)),
        )
        yield Rows(
            "ballot_option",
            "ballot_id id position label",
            (
                (ballots[n], option, place, f"晚上{6 + place}点")
                for n, options in enumerate(self._options)
                for place, option in enumerate(options)
            ),
        )
        yield Rows(
            "ballot_roll",
            "member_id ballot_id",
            ((who, ballot) for ballot in ballots for who in self._members),
        )
        yield Rows(
            "vote",
            "member_id ballot_id option_id cast_at changes",
            (
                (who, ballots[n], options[place % len(options)], now, 0)
                for n, options in enumerate(self._options)
                for place, who in enumerate(self._members)
                if (place + n) % 3
            ),
        )

    def _ballot(self, n: int, id_: UUID) -> Row:
        since, until = self._now - (BALLOTS - n) * DAY, self._now + 3650 * DAY
        asked = (id_, f"第{n}项：团购送货时间改到几点？", "SINGLE", [], [], since, until)
        rules = ("UNTIL_VOTED", 20, "REJECT", True, "OPEN")
        return (*asked, *rules, self._ballots[0], since, since, len(self._members))


def amount(member: int, lot: int) -> int:
    """The points of a member's lot, 20 to 199."""
    return 20 + (member * 7919 + lot * 104_729) % 180


def names(columns: str) -> Sequence[str]:
    """The columns one by one."""
    return columns.split()
