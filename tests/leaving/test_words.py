"""What staff say about members in their own words goes when the member's account is closed."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, select

from app import leaving, playbooks, staff, tiers
from app.churn import AlertState
from app.eco import EcoType
from app.kernel.auth import StaffCaller
from app.kernel.db import Database
from app.kernel.outbox import OutboxRow
from schema.nodes import global_id
from tests.conftest import Api, TestClock
from tests.leaving.test_leaving import everywhere
from tests.make import churn as make_churn
from tests.make import eco as make_eco
from tests.make import members as make_members
from tests.make import playbooks as make_playbooks
from tests.make import points as make_points
from tests.make.scenes import a_full_member

MARKER = "她住在翠湖三栋"
LOG = "{ auditLog(first: 100) { nodes { action given before after } } }"


async def say(api: Api, owner: StaffCaller, name: str, **given: Any) -> None:
    """Send a mutation of staff that must succeed."""
    wanted = f"{name[0].upper()}{name[1:]}Input"
    document = f"mutation($input: {wanted}!) {{ {name}(input: $input) {{ __typename }} }}"
    answer = await api(document, {"input": given}, caller=owner)
    assert answer["data"][name]["__typename"].endswith("Success"), (name, answer)


async def spoken_of(api: Api, owner: StaffCaller, clock: TestClock) -> tuple[list[UUID], set[str]]:
    """Members of whom every mutation that takes words has said something."""
    database = api.resources.database
    me = await a_full_member(database)
    async with database.begin() as tx:
        other = (await make_members.member(tx)).id
        (called,) = await make_playbooks.alerts(tx, 1, level=AlertState.L3)
        await make_playbooks.playbook(tx, [make_playbooks.task()])
        await playbooks.answer_alerts(tx)
        task = await tx.session.scalar(select(playbooks.PlaybookTask.id))
        assert task is not None
        await make_points.lot(tx, member_id=me, amount=40, subject="gift")
        waiting = await make_eco.action(tx, member_id=me, type=EcoType.NO_CUTLERY)
        held = await make_churn.alert_in_hand(tx, member_id=me)
        muted = await make_churn.alert(tx, member_id=other)
    who = {"memberId": global_id("Member", me), "reason": MARKER}
    until = clock.now.replace(year=clock.now.year + 1).isoformat()
    again = {"idempotencyKey": "1"}
    alert = {"alertId": global_id("ChurnAlert", held.id), "reason": MARKER}
    mute = {"alertId": global_id("ChurnAlert", muted.id), "reason": MARKER}
    said: dict[str, dict[str, Any]] = {
        "adjustPoints": {**who, "amount": 5, **again},
        "overrideTier": {**who, "tierCode": "DIAMOND", "until": until},
        "freezeMember": who,
        "unfreezeMember": who,
        "verifyEcoAction": {
            "actionId": global_id("EcoAction", waiting.id), "accept": False, "reason": MARKER
        },
        "completePlaybookTask": {
            "taskId": global_id("PlaybookTask", task), "result": "REACHED", "note": MARKER, **again
        },
        "closeAlert": {**alert, "verdict": "FALSE_ALARM", **again},
        "muteAlert": {**mute, "until": until, **again},
        "unmuteAlert": {**mute, **again},
    }  # fmt: skip
    for name, given in said.items():
        await say(api, owner, name, **given)
    trial = {"memberId": who["memberId"], "benefitCode": "new-product-trial", "note": MARKER}
    await say(api, owner, "useBenefit", **trial, **again)
    async with database.read() as read:
        use = await read.session.scalar(select(tiers.BenefitUse.id))
    assert use is not None
    await say(api, owner, "reverseBenefitUse", **who, **again, useId=global_id("BenefitUse", use))
    merged = {"survivorId": who["memberId"], "mergedId": global_id("Member", other)}
    await say(api, owner, "mergeMembers", **merged, reason=MARKER, **again)
    return [me, called], {*said, "useBenefit", "reverseBenefitUse", "mergeMembers"}


async def test_owners_read_words_until_the_member_is_erased(
    api: Api, owner: StaffCaller, database: Database, clock: TestClock
) -> None:
    people, actions = await spoken_of(api, owner, clock)
    entries = (await api(LOG, caller=owner))["data"]["auditLog"]["nodes"]
    given = {entry["action"]: entry["given"] for entry in entries}
    for action in actions:
        assert MARKER in given[action].values(), action
    [adjusted] = [entry for entry in entries if entry["action"] == "completePlaybookTask"]
    assert adjusted["after"]["note"] == MARKER
    told = await everywhere(database, [MARKER])
    assert "audit_words" in told
    assert "audit_entry" not in told, "what nobody can change holds no words"
    async with database.begin() as tx:
        # Facts are told within seconds, an account is closed after days.
        await tx.session.execute(delete(OutboxRow))
        for person in people:
            await leaving.erase(tx, member_id=person)
    assert await everywhere(database, [MARKER]) == {}
    after = (await api(LOG, caller=owner))["data"]["auditLog"]["nodes"]
    assert {entry["action"] for entry in after} == {entry["action"] for entry in entries}
    [left] = [entry for entry in after if entry["action"] == "adjustPoints"]
    assert (left["given"]["amount"], left["given"]["reason"]) == (5, "***")


async def test_words_of_what_is_nobody_s_stay(api: Api, owner: StaffCaller) -> None:
    about = staff.Actor("staff", owner.id)
    async with api.resources.database.begin() as tx:
        await staff.audit(tx, actor=about, action="moveCouponBatch", given={"reason": "印错了"})
    [entry] = (await api(LOG, caller=owner))["data"]["auditLog"]["nodes"]
    assert entry["given"]["reason"] == "印错了"
