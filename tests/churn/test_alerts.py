"""What signals and staff do to alerts: triggers, holds, mutes, verdicts, and what is written."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from app import churn
from app.churn.tables import ChurnAlertAction, ChurnAlertStep
from app.kernel.db import Database
from app.kernel.errors import InvalidInput, NotAllowed, Refusal
from app.members import Community, Member, MemberStatus
from app.segments import MemberStage, Stage, StageReason
from tests.conftest import TestClock
from tests.make import churn as make
from tests.make.members import community, member
from tests.make.orders import order

HOURS_72 = timedelta(hours=72)
MOMENT = timedelta(milliseconds=1)


async def somebody(database: Database, **settings: object) -> UUID:
    async with database.begin() as tx:
        home = await community(tx)
        (await tx.session.get_one(Community, home.id)).settings = settings
        return (await member(tx, community_id=home.id)).id


async def give(database: Database, member_id: UUID, probability: float) -> churn.Stored:
    async with database.begin() as tx:
        return await make.score(tx, member_id=member_id, probability=probability)


async def open_alert(database: Database, member_id: UUID) -> churn.ChurnAlert | None:
    async with database.read() as read:
        return (await churn.open_alert_by_member(read, [member_id])).get(member_id)


async def raised(database: Database, **settings: object) -> churn.ChurnAlert:
    one = await somebody(database, **settings)
    await give(database, one, 0.8)
    found = await open_alert(database, one)
    assert found is not None
    return found


async def by_id(database: Database, key: UUID) -> churn.ChurnAlert:
    async with database.read() as read:
        return (await churn.alert_by_id(read, [key]))[key]


async def history(database: Database, key: UUID) -> list[str]:
    """States and actions in the order of time; of one instant, states first."""
    async with database.read() as read:
        steps = (await churn.steps_by_alert(read, [key])).get(key, [])
        actions = (await churn.actions_by_alert(read, [key])).get(key, [])
    told = [(row.at, row.state.value) for row in steps]
    told += [(row.at, row.kind.value) for row in actions]
    return [name for _, name in sorted(told, key=lambda entry: entry[0])]


async def escalate(database: Database) -> int:
    async with database.begin() as tx:
        await churn.release_due(tx)
        return await churn.escalate_due(tx)


async def take(database: Database, key: UUID, who: UUID) -> churn.ChurnAlert:
    async with database.begin() as tx:
        return await churn.take_over(tx, alert_id=key, actor_id=who)


async def test_an_open_signal_lowers_the_trigger(database: Database, clock: TestClock) -> None:
    one, two = [await somebody(database) for _ in range(2)]
    async with database.begin() as tx:
        await make.signal(tx, member_id=one)
    # 0.8 of 0.7
    assert (await give(database, one, 0.5599)).raised == 0
    clock.advance(days=1)
    assert (await give(database, one, 0.56)).raised == 1
    assert (await give(database, two, 0.56)).raised == 0
    alert = await open_alert(database, one)
    assert alert is not None
    assert alert.trigger == pytest.approx(0.56)
    assert (alert.cause, alert.state) == (churn.AlertCause.SCORE, churn.AlertState.OPEN)
    clock.advance(days=1)
    # It calms down at 0.7 of the trigger that it rose through, not of the community's.
    assert (await give(database, one, 0.4)).recovered == 0
    clock.advance(days=1)
    assert (await give(database, one, 0.3919)).recovered == 1


async def test_a_signal_that_comes_after_the_score_raises_what_the_score_did_not(
    database: Database,
) -> None:
    one = await somebody(database)
    assert (await give(database, one, 0.6)).raised == 0
    async with database.begin() as tx:
        assert await churn.raise_signalled(tx, after=None) == (0, None)
        await make.signal(tx, member_id=one)
        assert await churn.raise_signalled(tx, after=None) == (1, None)
        assert await churn.raise_signalled(tx, after=None) == (0, None)
    assert await open_alert(database, one) is not None


async def test_where_a_community_has_it_so_a_signal_raises_an_alert_by_itself(
    database: Database, clock: TestClock
) -> None:
    one = await somebody(database, churn_signal_effect="RAISE")
    assert (await give(database, one, 0.1)).raised == 0
    async with database.begin() as tx:
        signal = await make.signal(tx, member_id=one)
        assert await churn.raise_signalled(tx, after=None) == (1, None)
    alert = await open_alert(database, one)
    assert alert is not None
    assert (alert.cause, alert.state) == (churn.AlertCause.SIGNAL, churn.AlertState.OPEN)
    clock.advance(days=1)
    assert (await give(database, one, 0.1)).recovered == 0, "the signal is open"
    await end_signal(database, signal, churn.SignalOutcome.FADED, clock.now)
    clock.advance(days=1)
    assert (await give(database, one, 0.1)).recovered == 0, "faded: nothing is better"
    async with database.begin() as tx:
        await tx.session.delete(await tx.session.merge(signal))
        other = await make.signal(tx, member_id=one)
    clock.advance(days=1)
    await end_signal(database, other, churn.SignalOutcome.RECOVERED, clock.now)
    assert (await give(database, one, 0.1)).recovered == 1


async def end_signal(
    database: Database, signal: churn.ChurnSignal, outcome: churn.SignalOutcome, at: datetime
) -> None:
    async with database.begin() as tx:
        row = await tx.session.merge(signal)
        row.closed_at, row.outcome = at, outcome


async def test_a_false_alarm_by_a_signal_does_not_come_again_while_the_signal_lasts(
    database: Database, clock: TestClock
) -> None:
    one = await somebody(database, churn_signal_effect="RAISE")
    async with database.begin() as tx:
        signal = await make.signal(tx, member_id=one)
    assert (await give(database, one, 0.1)).raised == 1
    alert = await open_alert(database, one)
    assert alert is not None
    async with database.begin() as tx:
        await churn.close_by_staff(
            tx,
            alert_id=alert.id,
            actor_id=uuid4(),
            state=churn.AlertState.FALSE_ALARM,
            reason="on holiday",
        )
    for _ in range(3):
        clock.advance(days=1)
        assert (await give(database, one, 0.1)).raised == 0
    await end_signal(database, signal, churn.SignalOutcome.RECOVERED, clock.now)
    clock.advance(days=1)
    assert (await give(database, one, 0.1)).raised == 0
    async with database.begin() as tx:
        await make.signal(tx, member_id=one)
        assert await churn.raise_signalled(tx, after=None) == (1, None)


async def test_where_a_community_has_it_so_signals_are_only_shown(database: Database) -> None:
    one = await somebody(database, churn_signal_effect="NONE")
    async with database.begin() as tx:
        await make.signal(tx, member_id=one)
    assert (await give(database, one, 0.69)).raised == 0
    async with database.begin() as tx:
        assert await churn.raise_signalled(tx, after=None) == (0, None)
        found = await churn.open_signals_by_member(tx, [one])
    assert [row.kind for row in found[one]] == [churn.SignalKind.LOGINS]


async def test_scores_that_a_lowered_trigger_may_raise_come_with_reasons(
    database: Database,
) -> None:
    await somebody(database)
    async with database.read() as read:
        assert await churn.lowest_trigger(read) == pytest.approx(0.56)
    await somebody(database, churn_trigger=0.5, churn_signal_effect="NONE")
    async with database.read() as read:
        assert await churn.lowest_trigger(read) == pytest.approx(0.5)


async def test_an_alert_knows_what_the_members_leaving_would_cost(
    database: Database, clock: TestClock
) -> None:
    one = await somebody(database)
    async with database.begin() as tx:
        tx.session.add(
            MemberStage(
                member_id=one, stage=Stage.REGULAR, reason=StageReason.TOP_SPEND, since=tx.now,
                as_of=tx.now, orders=3, orders30=1, net90=18_001,
            )
        )  # fmt: skip
    await give(database, one, 0.75)
    alert = await open_alert(database, one)
    assert alert is not None
    # 45 of 90 days, whole fen
    assert (alert.value_fen, alert.expected_loss_fen) == (9_000, 6_750)
    async with database.begin() as tx:
        (await tx.session.get_one(MemberStage, one)).net90 = -500
    clock.advance(days=1)
    await give(database, one, 0.9)
    alert = await by_id(database, alert.id)
    assert (alert.value_fen, alert.expected_loss_fen) == (0, 0)
    async with database.begin() as tx:
        (await tx.session.get_one(MemberStage, one)).average_order_fen = 2_999
    clock.advance(days=1)
    await give(database, one, 0.9)
    alert = await by_id(database, alert.id)
    assert (alert.value_fen, alert.expected_loss_fen) == (2_999, 2_699)


async def test_no_alert_for_a_member_who_has_ordered_since_the_scores_instant(
    database: Database, clock: TestClock
) -> None:
    one = await somebody(database)
    async with database.begin() as tx:
        made = await order(tx, member_id=one)
        answer = await make.score(
            tx, member_id=one, probability=0.9, as_of=tx.now - timedelta(hours=2)
        )
        assert answer.raised == 0
    async with database.begin() as tx:
        (await tx.session.merge(made)).cancelled_at = tx.now
        answer = await make.score(
            tx, member_id=one, probability=0.9, as_of=tx.now - timedelta(hours=1)
        )
        assert answer.raised == 1


async def test_after_an_order_a_fall_below_the_trigger_is_enough_to_rise_anew(
    database: Database, clock: TestClock
) -> None:
    one = await somebody(database)
    await give(database, one, 0.8)
    clock.advance(hours=1)
    async with database.begin() as tx:
        await order(tx, member_id=one)
        assert await churn.recover_by_order(tx, member_id=one)
    seen: list[int] = []
    for probability in (0.8, 0.75, 0.65, 0.66, 0.7):
        clock.advance(days=1)
        seen.append((await give(database, one, probability)).raised)
    # Still high: the same rise. Below the trigger once: the next rise is another.
    assert seen == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("hours", [1, 72, 100.5])
async def test_a_level_has_its_hours_to_the_last_millisecond(
    database: Database, clock: TestClock, hours: float
) -> None:
    given = {} if hours == 72 else {"churn_escalation_hours": hours}
    alert = await raised(database, **given)
    pause = timedelta(hours=hours)
    assert await escalate(database) == 1
    for level in ("L1", "L2"):
        assert (await by_id(database, alert.id)).state == level
        clock.now += pause - MOMENT
        assert await escalate(database) == 0
        clock.now += MOMENT
        assert await escalate(database) == 1
    clock.advance(days=365)
    assert await escalate(database) == 0
    assert await history(database, alert.id) == ["OPEN", "L1", "L2", "L3"]


async def test_an_alert_in_hand_does_not_move_up_before_72_hours(
    database: Database, clock: TestClock
) -> None:
    alert, who = await raised(database), uuid4()
    await escalate(database)
    clock.now += HOURS_72 - timedelta(hours=1)
    held = await take(database, alert.id, who)
    assert (held.taken_by, held.held_until) == (who, clock.now + HOURS_72)
    assert (held.acknowledged_by, held.acknowledged_at) == (who, clock.now)
    clock.now += HOURS_72 - MOMENT
    assert await escalate(database) == 0, "the level's own time ended long ago"
    clock.now += MOMENT
    assert await escalate(database) == 1
    after = await by_id(database, alert.id)
    assert (after.state, after.taken_by, after.held_until) == ("L2", None, None)
    assert after.acknowledged_by == who
    assert await history(database, alert.id) == ["OPEN", "L1", "TAKEN_OVER", "L2", "HOLD_ENDED"]


async def test_what_is_handed_back_goes_on_with_its_levels_own_time(
    database: Database, clock: TestClock
) -> None:
    alert, who = await raised(database), uuid4()
    await escalate(database)
    await take(database, alert.id, who)
    clock.now += timedelta(hours=71)
    async with database.begin() as tx:
        await churn.hand_back(tx, alert_id=alert.id, actor_id=who, reason="is away till Monday")
    assert await escalate(database) == 0
    clock.now += timedelta(hours=1)
    assert await escalate(database) == 1
    async with database.read() as read:
        actions = (await churn.actions_by_alert(read, [alert.id]))[alert.id]
    assert [(row.kind.value, row.reason, row.actor_id) for row in actions] == [
        ("TAKEN_OVER", None, who),
        ("HANDED_BACK", "is away till Monday", who),
    ]


async def test_what_a_colleague_holds_is_theirs_until_the_hold_ends(
    database: Database, clock: TestClock
) -> None:
    alert = await raised(database)
    async with database.begin() as tx:
        first = (await make.colleague(tx, name="小周")).id
    second = uuid4()
    await take(database, alert.id, first)
    until = clock.now + HOURS_72
    clock.advance(hours=1)
    with pytest.raises(churn.AlertTaken) as taken:
        await take(database, alert.id, second)
    assert taken.value.at == until
    assert "小周" in taken.value.message("zh-CN")
    assert "小周" in taken.value.message("en")
    muted = churn.AlertState.FALSE_ALARM
    async with database.begin() as tx:
        with pytest.raises(churn.AlertTaken):
            await churn.close_by_staff(
                tx, alert_id=alert.id, actor_id=second, state=muted, reason="x", anybodys=False
            )
        with pytest.raises(churn.AlertTaken):
            await churn.mute(
                tx, alert_id=alert.id, actor_id=second, until=until, reason="x", anybodys=False
            )
        with pytest.raises(NotAllowed):
            await churn.hand_back(tx, alert_id=alert.id, actor_id=second)
        await churn.acknowledge(tx, alert_id=alert.id, actor_id=second)
    again = await take(database, alert.id, first)
    assert again.held_until == clock.now + HOURS_72, "its owner may hold it for longer"
    clock.now += HOURS_72
    assert (await take(database, alert.id, second)).taken_by == second, "before any job ran"
    async with database.begin() as tx:
        back = await churn.hand_back(tx, alert_id=alert.id, actor_id=first, anybodys=True)
        assert back.taken_by is None
        with pytest.raises(churn.AlertNotTaken):
            await churn.hand_back(tx, alert_id=alert.id, actor_id=first, anybodys=True)


async def test_who_saw_an_alert_first_stays(database: Database, clock: TestClock) -> None:
    alert, first = await raised(database), uuid4()
    for who in (first, uuid4()):
        async with database.begin() as tx:
            row = await churn.acknowledge(tx, alert_id=alert.id, actor_id=who)
        clock.advance(hours=1)
        assert row.acknowledged_by == first
    assert await history(database, alert.id) == ["OPEN", "ACKNOWLEDGED"]


async def test_a_muted_member_gets_no_alert_before_the_end_and_one_after(
    database: Database, clock: TestClock
) -> None:
    alert, who = await raised(database), uuid4()
    until = clock.now + timedelta(days=10)
    async with database.begin() as tx:
        row = await churn.mute(
            tx, alert_id=alert.id, actor_id=who, until=until, reason=" visits her son "
        )
    assert (row.state, row.muted_until, row.closed_at) == ("MUTED", until, clock.now)
    for _ in range(9):
        clock.advance(days=1)
        assert (await give(database, alert.member_id, 0.9)).raised == 0
    clock.now = until - MOMENT
    assert (await give(database, alert.member_id, 0.9)).raised == 0
    clock.now = until
    assert (await give(database, alert.member_id, 0.9)).raised == 1
    async with database.read() as read:
        steps = (await churn.steps_by_alert(read, [alert.id]))[alert.id]
    assert [(step.state.value, step.actor_id, step.reason) for step in steps] == [
        ("OPEN", None, None),
        ("MUTED", who, "visits her son"),
    ]


async def test_a_mute_may_be_ended_before_its_time(database: Database, clock: TestClock) -> None:
    alert, who = await raised(database), uuid4()
    async with database.begin() as tx:
        with pytest.raises(churn.AlertNotMuted):
            await churn.unmute(tx, alert_id=alert.id, actor_id=who)
        until = tx.now + timedelta(days=300)
        await churn.mute(tx, alert_id=alert.id, actor_id=who, until=until, reason="travels")
    clock.advance(days=1)
    assert (await give(database, alert.member_id, 0.9)).raised == 0
    async with database.begin() as tx:
        row = await churn.unmute(tx, alert_id=alert.id, actor_id=who, reason="is back")
        assert (row.state, row.muted_until) == ("MUTED", clock.now)
    clock.advance(days=1)
    async with database.begin() as tx:
        with pytest.raises(churn.AlertNotMuted):
            await churn.unmute(tx, alert_id=alert.id, actor_id=who)
    assert (await give(database, alert.member_id, 0.9)).raised == 1
    assert await history(database, alert.id) == ["OPEN", "MUTED", "UNMUTED"]


async def test_a_member_who_calmed_down_while_muted_is_not_alerted_after(
    database: Database, clock: TestClock
) -> None:
    alert = await raised(database)
    async with database.begin() as tx:
        await churn.mute(
            tx,
            alert_id=alert.id,
            actor_id=uuid4(),
            until=tx.now + timedelta(days=2),
            reason="travels",
        )
    for probability in (0.9, 0.3, 0.6):
        clock.advance(days=1)
        assert (await give(database, alert.member_id, probability)).raised == 0


@pytest.mark.parametrize("verdict", [*churn.Verdict])
async def test_a_verdict_ends_an_alert_until_the_next_rise(
    database: Database, clock: TestClock, verdict: churn.Verdict
) -> None:
    alert = await raised(database)
    async with database.begin() as tx:
        await churn.close_by_staff(
            tx,
            alert_id=alert.id,
            actor_id=uuid4(),
            state=churn.AlertState(verdict.value),
            reason="spoke to her",
        )
    clock.advance(days=1)
    assert (await give(database, alert.member_id, 0.9)).raised == 0
    clock.advance(days=1)
    await give(database, alert.member_id, 0.3)
    clock.advance(days=1)
    assert (await give(database, alert.member_id, 0.9)).raised == 1


async def test_refusals_of_alerts(database: Database, clock: TestClock) -> None:
    alert, who = await raised(database), uuid4()
    later = clock.now + timedelta(days=1)

    async def refused(key: UUID, name: str, **given: object) -> str:
        try:
            async with database.begin() as tx:
                await getattr(churn, name)(tx, alert_id=key, actor_id=who, **given)
        except Refusal as refusal:
            return refusal.code
        return "done"

    mute = {"until": later, "reason": "x"}
    for name, given in (
        ("acknowledge", {}),
        ("take_over", {}),
        ("hand_back", {}),
        ("mute", mute),
        ("close_by_staff", {"state": churn.AlertState.FALSE_ALARM, "reason": "x"}),
    ):
        assert await refused(uuid4(), name, **given) == "ALERT_NOT_FOUND"
    assert await refused(alert.id, "mute", **{**mute, "reason": " \t"}) == "REASON_REQUIRED"
    for until in (clock.now, clock.now + timedelta(days=366, seconds=1)):
        assert await refused(alert.id, "mute", **{**mute, "until": until}) == "INVALID_INPUT"
    for reason in ("x" * 201, "a\0b"):
        assert await refused(alert.id, "mute", **{**mute, "reason": reason}) == "INVALID_INPUT"
    assert await refused(alert.id, "hand_back") == "ALERT_NOT_TAKEN"
    assert await refused(alert.id, "mute", **mute) == "done"
    for name, given in (("acknowledge", {}), ("take_over", {}), ("hand_back", {}), ("mute", mute)):
        assert await refused(alert.id, name, **given) == "ALERT_CLOSED"
    with pytest.raises(InvalidInput):
        async with database.begin() as tx:
            await churn.hand_back(tx, alert_id=alert.id, actor_id=who, reason="x" * 201)


async def test_a_due_alert_of_a_member_who_ordered_recovers_instead_of_moving_up(
    database: Database, clock: TestClock
) -> None:
    alert = await raised(database)
    clock.advance(hours=1)
    async with database.begin() as tx:
        await order(tx, member_id=alert.member_id)
    # An imported order sets off no job: the escalation is the first to see it.
    assert await escalate(database) == 0
    assert (await by_id(database, alert.id)).state == churn.AlertState.RECOVERED


async def test_members_who_leave_count_as_churned(database: Database, clock: TestClock) -> None:
    alert = await raised(database)
    async with database.begin() as tx:
        (await tx.session.get_one(Member, alert.member_id)).status = MemberStatus.CLOSED
        assert await churn.settle_alerts(tx) == (0, 1)
    assert (await by_id(database, alert.id)).state == churn.AlertState.CHURNED


async def test_a_horizon_ends_to_the_last_millisecond(database: Database, clock: TestClock) -> None:
    alert = await raised(database)
    clock.now += timedelta(days=45) - MOMENT
    async with database.begin() as tx:
        assert await churn.settle_alerts(tx) == (0, 0)
    clock.now += MOMENT
    async with database.begin() as tx:
        assert await churn.settle_alerts(tx) == (0, 1)
    assert (await by_id(database, alert.id)).closed_at == clock.now


async def test_what_staff_did_goes_with_a_merged_member(
    database: Database, clock: TestClock
) -> None:
    alert, other = await raised(database), await somebody(database)
    await take(database, alert.id, uuid4())
    async with database.begin() as tx:
        await make.signal(tx, member_id=alert.member_id)
        await churn.merge(tx, alert.member_id, other)
        assert (await churn.open_alert_by_member(tx, [other]))[other].id == alert.id
        for table in (ChurnAlertAction, ChurnAlertStep):
            owners = await tx.session.scalars(select(table.member_id))
            assert set(owners) == {other}
        left = await tx.session.scalar(select(func.count()).select_from(churn.ChurnSignal))
    assert left == 0, "counted anew from the events of both"
    assert await history(database, alert.id) == ["OPEN", "TAKEN_OVER"]
