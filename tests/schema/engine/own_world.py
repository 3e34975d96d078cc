"""A small community on real rows, and what arguments of queries about it may take."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

from app import ballots, eco, segments, tiers
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from schema.nodes import global_id
from tests.make import ballots as make_ballots
from tests.make import campaigns as make_campaigns
from tests.make import churn as make_churn
from tests.make import coupons as make_coupons
from tests.make import drops as make_drops
from tests.make import eco as make_eco
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import points as make_points
from tests.make import reviews as make_reviews
from tests.make import segments as make_segments

STAFF = StaffCaller(uuid4(), uuid4(), Role.OWNER)


class Known:
    """Ids and cursors that arguments may take: those of the world, and those that answers had."""

    def __init__(self, *ids: str) -> None:
        """Begin with these."""
        self.ids = [*ids, *ids, "nonsense", global_id("Drop", UUID(int=7))]
        self.cursors = ["nonsense"]

    def learn(self, value: Any) -> None:
        """Look through an answer."""
        for key, found in _texts(value):
            if key == "cursor" or key.endswith("Cursor"):
                self.cursors = [*self.cursors[-30:], found]
            elif found.endswith("=") or len(found) > 40:
                self.ids = [*self.ids[-60:], found]

    def candidates(self, parent: str, name: str, key: str) -> list[Any] | None:
        """Values for an argument; None where any will do."""
        if key == "first":
            return [1, 1, 1, 2, 2, 2, 3, 3, 5, 50, 100, 101]
        if key == "after":
            return [*[None] * 20, *self.cursors]
        if key == "ids":
            return [self.ids[:3], self.ids[-2:], []]
        return list(self.ids) if key.endswith(("id", "Id")) else None


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)


async def a_person(database: Database) -> UUID:
    """A member with something of everything."""
    async with database.begin() as tx:
        person = (await make_members.member(tx)).id
        for number in range(3):
            await make_orders.order(tx, member_id=person, total_fen=90_000 + number)
            await make_points.lot(tx, member_id=person, amount=40)
            await make_coupons.coupon(tx, member_id=person)
        await make_orders.order(tx, member_id=person, sku="APPLE")
        await make_reviews.review(tx, member_id=person, sku="APPLE")
        await make_eco.action(tx, member_id=person, credited=True)
        await tiers.upgrade_if_due(tx, member_id=person)
        await make_segments.stage(tx, member_id=person, stage=segments.Stage.VIP)
        return person


async def a_world(database: Database) -> tuple[UUID, Known]:
    """A small community; answers one of its members, and what can be asked for by id."""
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
        await eco.ensure_eco(tx)
    people = [await a_person(database) for _ in range(3)]
    async with database.begin() as tx:
        drops = [await make_drops.open_drop(tx), await make_drops.drop(tx)]
        campaign = await make_campaigns.campaign(tx)
        await make_campaigns.campaign(tx, running=False)
        await ballots.create(tx, draft=make_ballots.draft(tx), staff_id=STAFF.id)
        await make_churn.scores(tx, member_ids=people[:2], probability=[0.9, 0.8])
        await segments.run(tx, as_of=tx.now)
    ballot, options, voters = await make_ballots.open_ballot(database)
    async with database.begin() as tx:
        await ballots.cast(tx, ballot_id=ballot, member_id=voters[1], option_id=options[0])
    ids = [global_id("Member", person) for person in people]
    ids += [global_id("Drop", drop.id) for drop in drops]
    return people[0], Known(*ids, global_id("Campaign", campaign.id), global_id("Ballot", ballot))
