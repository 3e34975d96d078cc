"""What a playbook changed: sums in SQL against a slow oracle, intervals, and a split gone wrong."""

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from app import playbooks
from app.kernel.db import Database
from app.playbooks import Arm, Audience, Level, Sums
from tests.conftest import TestClock
from tests.make import members as make_members
from tests.make import orders as make_orders
from tests.make import playbooks as make

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Acted:
    """An action and the orders of its member: (days after the action, fen, refunded fen)."""

    arm: Arm
    level: Level = Level.L1
    audience: Audience = Audience.OTHERS
    days_ago: float = 60
    cost_fen: int = 0
    net_90_fen: int = 0
    orders: tuple[tuple[float, int, int], ...] = ()
    left_alone: bool = False


async def act(database: Database, row: playbooks.Playbook, told: list[Acted]) -> None:
    async with database.begin() as tx:
        for one in told:
            member = await make_members.member(tx)
            at = tx.now - one.days_ago * DAY
            await make.acted(
                tx,
                playbook=row,
                member_id=member.id,
                arm=one.arm,
                level=one.level,
                audience=one.audience,
                at=at,
                cost_fen=one.cost_fen,
                features={"net_90_fen": one.net_90_fen},
                left_alone=one.left_alone,
            )
            for after, fen, refunded in one.orders:
                await make_orders.order(
                    tx,
                    member_id=member.id,
                    at=at + after * DAY,
                    total_fen=fen,
                    refunded_fen=refunded,
                    sku=None,
                )


async def running(database: Database, **design: Any) -> playbooks.Playbook:
    async with database.begin() as tx:
        return await make.playbook(tx, [make.message()], **design)


async def effects(
    database: Database, row: playbooks.Playbook
) -> dict[tuple[Level | None, Audience | None], playbooks.Effect]:
    async with database.read() as read:
        found = (await playbooks.effects_by_playbook(read, [row.id]))[row.id]
    return {(one.level, one.audience): one for one in found}


def slow(told: list[Acted], *, now: datetime) -> dict[bool, Sums]:
    """The whole's two arms by a loop: first actions whose 45 days are over."""
    arms: dict[bool, list[tuple[bool, float, float, float]]] = {True: [], False: []}
    for one in told:
        if one.days_ago < 45 or one.left_alone:
            continue
        came = [o for o in one.orders if 0 < o[0] <= 45 and o[2] < o[1]]
        net = sum(fen - refunded for _, fen, refunded in came)
        arms[one.arm is Arm.CONTROL].append(
            (bool(came), net - one.cost_fen, one.net_90_fen, one.cost_fen)
        )
    return {
        held: Sums(
            len(rows),
            sum(stayed for stayed, *_ in rows),
            sum(y for _, y, _, _ in rows),
            sum(y * y for _, y, _, _ in rows),
            sum(x for _, _, x, _ in rows),
            sum(x * x for _, _, x, _ in rows),
            sum(x * y for _, y, x, _ in rows),
            sum(cost for *_, cost in rows),
        )
        for held, rows in arms.items()
    }


async def test_the_sums_are_those_of_a_loop(database: Database, clock: TestClock) -> None:
    rng = random.Random(3)
    row = await running(database, holdout_permille=300, level_holdout_permille=100)
    told = [
        Acted(
            rng.choice([Arm.TREATED, Arm.TREATED, Arm.CONTROL, Arm.LEVEL_CONTROL]),
            level=rng.choice(list(Level)),
            audience=rng.choice(list(Audience)),
            days_ago=rng.choice([10, 44.9, 45, 60, 100]),
            cost_fen=rng.choice([0, 500]),
            net_90_fen=rng.randrange(10_000),
            orders=tuple(
                (rng.choice([-1, 1, 44, 45, 46]), rng.randrange(1, 9_000), 0)
                for _ in range(rng.randrange(3))
            ),
            left_alone=rng.random() < 0.1,
        )
        for _ in range(80)
    ]
    told += [Acted(Arm.TREATED, orders=((3, 900, 900),)), Acted(Arm.CONTROL, orders=((3, 9, 4),))]
    await act(database, row, told)
    found = await effects(database, row)
    expected = slow(told, now=clock.now)
    whole = found[None, None]
    assert whole.treated == expected[False]
    assert whole.control == expected[True]
    audiences = [one for (level, of), one in found.items() if level is None and of is not None]
    assert sum(one.treated.members for one in audiences) == whole.treated.members
    level = found[Level.L2, None]
    held = [one for one in told if one.level is Level.L2 and one.arm is Arm.LEVEL_CONTROL]
    assert level.control.members == sum(one.days_ago >= 45 and not one.left_alone for one in held)


async def test_a_member_counts_once_from_the_first_action_on(
    database: Database, clock: TestClock
) -> None:
    row = await running(database)
    async with database.begin() as tx:
        member = await make_members.member(tx)
        for days, level in ((60, Level.L1), (57, Level.L2), (50, Level.L1)):
            await make.acted(
                tx,
                playbook=row,
                member_id=member.id,
                level=level,
                at=tx.now - days * DAY,
                cost_fen=100,
            )
        await make_orders.order(tx, member_id=member.id, at=tx.now - 14 * DAY, total_fen=5_000)
    found = await effects(database, row)
    # The order came 46 days after the first action and 43 after the second.
    assert found[None, None].treated == Sums(1, 0, -300.0, 90_000.0, 0, 0, 0, 300.0)
    assert found[Level.L2, None].treated.stayed == 1
    assert found[Level.L1, None].treated.members == 1
    assert found[None, None].stay is None, "nobody was held out"


async def test_a_difference_comes_with_its_interval(database: Database) -> None:
    row = await running(database, holdout_permille=400)
    stays = ((5.0, 3_000, 0),)
    told = [Acted(Arm.TREATED, orders=stays, cost_fen=200)] * 30 + [Acted(Arm.TREATED)] * 20
    told += [Acted(Arm.CONTROL, orders=stays)] * 12 + [Acted(Arm.CONTROL)] * 18
    await act(database, row, told)
    found = (await effects(database, row))[None, None]
    assert found.stay is not None
    assert found.net is not None
    assert found.stay.value == pytest.approx(0.6 - 0.4)
    assert found.stay.low < 0.2 < found.stay.high
    # 60% of 3,000 less 40%, and 200 fen for each of the 60%.
    assert found.net.value == pytest.approx(600 - 120)
    assert not found.is_blocked


async def test_a_split_that_chance_does_not_give_blocks_the_read_out(database: Database) -> None:
    row = await running(database, holdout_permille=50)
    await act(database, row, [Acted(Arm.TREATED)] * 40 + [Acted(Arm.CONTROL)] * 20)
    found = (await effects(database, row))[None, None]
    assert found.split < 0.001
    assert found.is_blocked
    assert found.stay is None
    assert found.net is None


def test_the_split_is_judged_alike_by_both_reckonings() -> None:
    for control in (30, 45, 50, 60, 75):
        exact = playbooks.split_chance(control, 1_000, 0.05)
        sd = math.sqrt(1_000 * 0.05 * 0.95)
        near = math.erfc(max(0, abs(control - 50) - 0.5) / sd / math.sqrt(2))
        assert exact == pytest.approx(near, abs=0.04)


def test_what_the_time_before_explains_is_taken_off() -> None:
    """CUPED by sums is least squares on centred x, and its interval is narrower."""
    rng = random.Random(1)

    def arm(members: int, lift: float) -> tuple[Sums, list[float]]:
        xs = [rng.gauss(100, 30) for _ in range(members)]
        ys = [x * 2 + rng.gauss(0, 10) + lift for x in xs]
        return Sums(
            members, 0, sum(ys), sum(y * y for y in ys), sum(xs), sum(x * x for x in xs),
            sum(x * y for x, y in zip(xs, ys, strict=True)),
        ), ys  # fmt: skip

    (treated, _), (control, _) = arm(400, 5), arm(100, 0)
    found = playbooks.difference_of_means(treated, control)
    bare = playbooks.difference_of_means(
        *(Sums(one.members, 0, one.y, one.yy) for one in (treated, control))
    )
    assert found is not None
    assert bare is not None
    assert found.low < 5 < found.high
    assert found.high - found.low < 0.3 * (bare.high - bare.low)
    assert bare.value == pytest.approx(treated.y / 400 - control.y / 100)
    assert playbooks.difference_of_means(treated, Sums(members=1)) is None


@pytest.mark.parametrize(("effect", "members"), [(0.0, 200), (0.1, 300)])
def test_an_interval_covers_what_is_true_about_95_times_in_100(effect: float, members: int) -> None:
    rng = random.Random(7)
    covered = 0
    for _ in range(400):
        treated = sum(rng.random() < 0.3 + effect for _ in range(members))
        control = sum(rng.random() < 0.3 for _ in range(members // 4))
        found = playbooks.difference_of_rates(
            Sums(members=members, stayed=treated), Sums(members=members // 4, stayed=control)
        )
        assert found is not None
        covered += found.low <= effect <= found.high
    assert 0.92 < covered / 400 < 0.985


async def test_changing_the_shares_begins_another_experiment(database: Database) -> None:
    row = await running(database, holdout_permille=50)
    draft = playbooks.PlaybookDraft(
        name="挽留二", measures=[make.message()], holdout_permille=50, level_holdout_permille=0
    )
    async with database.begin() as tx:
        same = await playbooks.update_playbook(tx, playbook_id=row.id, draft=draft, by=None)
        assert same.experiment_id == row.experiment_id
        assert (same.version, same.line_id) == (2, row.line_id)
        with pytest.raises(playbooks.PlaybookSuperseded):
            await playbooks.update_playbook(tx, playbook_id=row.id, draft=draft, by=None)
        other = await playbooks.update_playbook(
            tx,
            playbook_id=same.id,
            draft=playbooks.PlaybookDraft(name="三", measures=[make.message()]),
            by=None,
        )
        assert other.experiment_id != row.experiment_id
    async with database.begin() as tx:
        await playbooks.activate_playbook(tx, playbook_id=other.id)
        await playbooks.activate_playbook(tx, playbook_id=other.id)
    async with database.read() as read:
        states = await playbooks.playbooks_by_id(read, [row.id, same.id, other.id])
    assert [states[key].state.value for key in (row.id, same.id, other.id)] == [
        "RETIRED",
        "DRAFT",
        "ACTIVE",
    ]
    async with database.begin() as tx:
        with pytest.raises(playbooks.PlaybookMoveNotAllowed):
            await playbooks.activate_playbook(tx, playbook_id=row.id)
        await playbooks.retire_playbook(tx, playbook_id=same.id)


async def test_the_stored_rank_of_each_alert_goes_by_what_is_at_stake(database: Database) -> None:
    from workers.playbooks import rank_alerts

    async with database.begin() as tx:
        await make.playbook(tx, [make.message()])
        (small,) = await make.alerts(tx, 1, net90=2_000)
        (great,) = await make.alerts(tx, 1, net90=90_000)
    assert await rank_alerts(database) == 2
    async with database.read() as read:
        found = await playbooks.ranked_page(read, first=10)
    assert [rank.member_id for rank, _ in found] == [great, small]
    assert found[0][0].loss_fen == pytest.approx(0.9 * 45_000, abs=1)
    assert {rank.ranked_by for rank, _ in found} == {playbooks.RankedBy.EXPECTED_LOSS}
    assert await rank_alerts(database, unranked=True) == 0


async def persuaded(database: Database, *, real: bool, each: int = 400) -> playbooks.Playbook:
    """A finished experiment: half held out; if real, it helps those alone who open messages."""
    rng = random.Random(5)
    row = await running(database, holdout_permille=500)
    rows: list[dict[str, object]] = []
    orders: list[UUID] = []
    async with database.begin() as tx:
        at = tx.now - 60 * DAY
        for place in range(2 * each):
            member = await make_members.member(tx)
            treated = place % 2 == 0
            opens = rng.randrange(0, 10)
            helped = real and treated and opens >= 5
            rows.append({"opens": opens})
            await make.acted(
                tx,
                playbook=row,
                member_id=member.id,
                arm=Arm.TREATED if treated else Arm.CONTROL,
                at=at,
                features={"messages_opened_90": opens, "orders": rng.randrange(1, 30)},
            )
            if rng.random() < (0.75 if helped else 0.25):
                orders.append(member.id)
        for member_id in orders:
            await make_orders.order(tx, member_id=member_id, at=at + DAY, sku=None)
    return row


@pytest.mark.parametrize("real", [True, False])
async def test_alerts_are_ranked_by_uplift_only_where_it_is_shown(
    database: Database, real: bool
) -> None:
    from workers.playbooks import learn_all, rank_alerts

    await persuaded(database, real=real)
    (learned,) = await learn_all(database)
    assert (learned.treated, learned.control) == (400, 400)
    assert learned.model is not None
    assert learned.model.in_force is real
    assert (learned.model.qini_low > 0) is real
    async with database.begin() as tx:
        members = await make.alerts(tx, 3)
    assert await rank_alerts(database) == 3
    async with database.read() as read:
        ranks = await playbooks.rank_by_member(read, members)
    by = playbooks.RankedBy.UPLIFT if real else playbooks.RankedBy.EXPECTED_LOSS
    assert {rank.ranked_by for rank in ranks.values()} == {by}
    assert all((rank.effect is not None) is real for rank in ranks.values())
    (again,) = await learn_all(database)
    assert again.why_not == "little is new since the last model"


async def test_a_damaged_model_ranks_nobody(database: Database) -> None:
    from workers.playbooks import learn_all, rank_alerts

    await persuaded(database, real=True)
    await learn_all(database)
    async with database.begin() as tx:
        await tx.session.execute(update(playbooks.UpliftModel).values(artifact=b"spoilt"))
        await make.alerts(tx, 1)
    assert await rank_alerts(database) == 1
    async with database.read() as read:
        ((rank, _),) = await playbooks.ranked_page(read, first=1)
    assert rank.ranked_by is playbooks.RankedBy.EXPECTED_LOSS


async def test_too_few_are_not_learned_from(database: Database) -> None:
    from workers.playbooks import learn_all

    await persuaded(database, real=True, each=50)
    (learned,) = await learn_all(database)
    assert learned.model is None
    assert learned.why_not == "50 treated and 50 held out; 200 of each are needed"
