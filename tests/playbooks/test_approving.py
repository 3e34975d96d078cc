"""Two people answer for a playbook that gives much: whoever wrote it, and another."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from app import coupons, members, playbooks
from app.kernel.auth import Role, StaffCaller
from app.kernel.db import Database
from app.kernel.errors import Refusal
from app.playbooks import Audience, Level, MeasureDraft, MeasureKind, PlaybookState
from schema.nodes import global_id
from tests.conftest import Api
from tests.make import coupons as make_coupons
from tests.make import members as make_members
from tests.make import playbooks as make

CREATE = """mutation($input: CreatePlaybookInput!) { createPlaybook(input: $input) {
  ... on CreatePlaybookSuccess { playbook {
    id worthFen needsApproval writtenBy approvedBy approvedAlone } }
  ... on UserError { code } } }"""
UPDATE = """mutation($input: UpdatePlaybookInput!) { updatePlaybook(input: $input) {
  ... on UpdatePlaybookSuccess { playbook { id needsApproval approvedBy } }
  ... on UserError { code } } }"""
APPROVE = """mutation($input: ApprovePlaybookInput!) { approvePlaybook(input: $input) {
  ... on ApprovePlaybookSuccess { playbook { state approvedBy approvedAt approvedAlone } }
  ... on UserError { code message } } }"""
ACTIVATE = """mutation($input: ActivatePlaybookInput!) { activatePlaybook(input: $input) {
  ... on ActivatePlaybookSuccess { playbook { state } } ... on UserError { code message } } }"""
AUTHOR = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
OTHER = StaffCaller(uuid4(), uuid4(), Role.CAMPAIGN_MANAGER)
OWNER = StaffCaller(uuid4(), uuid4(), Role.OWNER)


def given_points(
    amount: int, level: Level = Level.L1, audience: Audience = Audience.OTHERS
) -> MeasureDraft:
    return MeasureDraft(level, audience, MeasureKind.POINTS, points=amount)


async def act(api: Api, caller: StaffCaller, document: str, **given: Any) -> dict[str, Any]:
    [found] = (await api(document, {"input": given}, caller=caller))["data"].values()
    return found


def house(api: Api, *, alone: bool) -> Api:
    settings = api.resources.settings.model_copy(update={"approve_alone": alone})
    return Api(replace(api.resources, settings=settings))


def much(**more: Any) -> dict[str, Any]:
    """1,001 points, where 1,000 fen are what one may answer for."""
    measure = {"level": "L1", "audience": "OTHERS", "kind": "POINTS", "points": 1_001}
    return {"name": "挽留", "measures": [measure], "idempotencyKey": "one", **more}


async def test_what_gives_much_waits_for_another_than_its_author(api: Api) -> None:
    strict = house(api, alone=False)
    made = (await act(strict, AUTHOR, CREATE, **much()))["playbook"]
    author = global_id("StaffAccount", AUTHOR.id)
    assert made == {
        "id": made["id"], "worthFen": 1_001, "needsApproval": True, "writtenBy": author,
        "approvedBy": None, "approvedAlone": False,
    }  # fmt: skip
    chosen = {"playbookId": made["id"]}
    refused = await act(strict, AUTHOR, ACTIVATE, **chosen)
    assert refused["code"] == "PLAYBOOK_NEEDS_APPROVAL"
    assert "10.01" in refused["message"]
    assert (await act(strict, OTHER, ACTIVATE, **chosen))["code"] == "PLAYBOOK_NEEDS_APPROVAL"
    assert (await act(strict, AUTHOR, APPROVE, **chosen))["code"] == "PLAYBOOK_NEEDS_ANOTHER"
    for caller in (OTHER, OWNER):
        done = (await act(strict, caller, APPROVE, **chosen))["playbook"]
        assert done["approvedBy"] == global_id("StaffAccount", OTHER.id), "the first stays"
        assert (done["state"], done["approvedAlone"]) == ("DRAFT", False)
    assert (await act(strict, AUTHOR, ACTIVATE, **chosen))["playbook"]["state"] == "ACTIVE"
    # The next version has nobody's word.
    more = much(playbookId=made["id"], idempotencyKey="two")
    second = (await act(strict, OTHER, UPDATE, **more))["playbook"]
    assert (second["needsApproval"], second["approvedBy"]) == (True, None)
    refused = await act(strict, OTHER, ACTIVATE, playbookId=second["id"])
    assert refused["code"] == "PLAYBOOK_NEEDS_APPROVAL"


async def test_what_gives_little_needs_nobody(api: Api) -> None:
    strict = house(api, alone=False)
    measure = {"level": "L1", "audience": "OTHERS", "kind": "POINTS", "points": 1_000}
    made = (await act(strict, AUTHOR, CREATE, **much(measures=[measure])))["playbook"]
    assert (made["worthFen"], made["needsApproval"]) == (1_000, False)
    done = await act(strict, AUTHOR, ACTIVATE, playbookId=made["id"])
    assert done["playbook"]["state"] == "ACTIVE"
    late = await act(strict, OTHER, APPROVE, playbookId=made["id"])
    assert late["code"] == "PLAYBOOK_MOVE_NOT_ALLOWED"
    gone = await act(strict, OTHER, APPROVE, playbookId=global_id("Playbook", uuid4()))
    assert gone["code"] == "PLAYBOOK_NOT_FOUND"


@pytest.mark.parametrize(("caller", "alone"), [(OWNER, True), (OWNER, False), (AUTHOR, True)])
async def test_one_person_may_do_both_only_as_the_owner_of_such_a_house(
    api: Api, caller: StaffCaller, alone: bool
) -> None:
    one = house(api, alone=alone)
    made = (await act(one, caller, CREATE, **much()))["playbook"]
    answer = await act(one, caller, APPROVE, playbookId=made["id"])
    if caller is OWNER and alone:
        assert answer["playbook"]["approvedAlone"]
        assert (await act(one, caller, ACTIVATE, playbookId=made["id"]))["playbook"]
    else:
        assert answer["code"] == "PLAYBOOK_NEEDS_ANOTHER"


async def worth(database: Database, key: UUID) -> playbooks.Worth:
    async with database.read() as read:
        return (await playbooks.worths_by_playbook(read, [key]))[key]


async def test_a_member_s_way_through_the_levels_is_what_counts(database: Database) -> None:
    async with database.begin() as tx:
        batch = await make_coupons.batch(tx)
        row = await make.playbook(
            tx,
            [
                given_points(30, Level.L1, Audience.VIP),
                given_points(20, Level.L1),
                make.coupon(batch.id, Level.L2),
                make.coupon(batch.id, Level.L2, Audience.VIP),
                make.task(),
            ],
        )
        bare = await make.playbook(tx, [make.message()], active=False)
    assert (await worth(database, row.id)).fen == 530
    assert (await worth(database, bare.id)).fen == 0
    assert not row.needs_approval


async def limited(database: Database, home: UUID, value: object) -> None:
    async with database.begin() as tx:
        await tx.session.execute(
            update(members.Community)
            .where(members.Community.id == home)
            .values(settings={playbooks.SETTINGS[0].key: value})
        )


async def test_the_limit_is_the_community_s_and_for_everybody_the_strictest(
    database: Database,
) -> None:
    async with database.begin() as tx:
        home = (await make_members.community(tx)).id
        away = (await make_members.community(tx, name="滨江苑")).id
        own = await make.playbook(tx, [given_points(400)], active=False, community_id=home)
        other = await make.playbook(tx, [given_points(400)], active=False, community_id=away)
        all_ = await make.playbook(tx, [given_points(400)], active=False)
    await limited(database, home, 399)
    limits = [(await worth(database, row.id)).limit_fen for row in (own, other, all_)]
    assert limits == [399, playbooks.ALONE_FEN, 399]
    # What was written under a higher limit is held back at once when it is lowered.
    for row in (own, all_):
        async with database.begin() as tx:
            with pytest.raises(playbooks.PlaybookNeedsApproval):
                await playbooks.activate_playbook(tx, playbook_id=row.id)
    async with database.begin() as tx:
        await playbooks.activate_playbook(tx, playbook_id=other.id)


@pytest.mark.parametrize("value", ["9", -1, 10_001, 2.5, 1e30, None, [], True])
async def test_a_limit_that_none_can_be_counts_as_not_chosen(
    database: Database, value: object
) -> None:
    async with database.begin() as tx:
        home = (await make_members.community(tx)).id
        row = await make.playbook(tx, [make.message()], active=False, community_id=home)
    await limited(database, home, value)
    assert (await worth(database, row.id)).limit_fen == playbooks.ALONE_FEN


async def test_a_limit_raised_afterwards_lets_nothing_through(database: Database) -> None:
    async with database.begin() as tx:
        home = (await make_members.community(tx)).id
        row = await make.playbook(tx, [given_points(5_000)], active=False, community_id=home)
    await limited(database, home, 10_000)
    async with database.begin() as tx:
        with pytest.raises(playbooks.PlaybookNeedsApproval):
            await playbooks.activate_playbook(tx, playbook_id=row.id)


async def test_fifty_who_approve_and_activate_at_once_leave_two_people(
    database: Database,
) -> None:
    author = uuid4()
    draft = playbooks.PlaybookDraft(name="挽留", measures=[given_points(5_000)])
    async with database.begin() as tx:
        row = await playbooks.create_playbook(tx, draft=draft, by=author)

    async def approve(by: UUID) -> str:
        try:
            async with database.begin() as tx:
                done = await playbooks.approve_playbook(tx, playbook_id=row.id, by=by)
                return str(done.approved_by)
        except Refusal as refusal:
            return refusal.code

    async def activate() -> str:
        try:
            async with database.begin() as tx:
                return (await playbooks.activate_playbook(tx, playbook_id=row.id)).state.value
        except Refusal as refusal:
            return refusal.code

    others = [uuid4() for _ in range(25)]
    jobs = [approve(by) for by in [author, *others] * 2] + [activate() for _ in range(48)]
    # Whoever comes first comes first: each order must hold.
    answers = Counter(await asyncio.gather(*(jobs[place * 7 % 100] for place in range(100))))
    async with database.read() as read:
        after = (await playbooks.playbooks_by_id(read, [row.id]))[row.id]
    assert after.approved_by in others
    approvers = {by for by in map(str, others) if answers[by]}
    assert approvers == {str(after.approved_by)}
    assert answers["PLAYBOOK_NEEDS_ANOTHER"] <= 2
    assert answers["ACTIVE"] + answers["PLAYBOOK_NEEDS_APPROVAL"] == 48
    assert (after.state is PlaybookState.ACTIVE) == bool(answers["ACTIVE"])


@pytest.mark.parametrize(
    "change",
    [
        "approved_by = created_by, approved_at = now()",
        "approved_by = gen_random_uuid()",
        "state = 'ACTIVE', activated_at = now()",
    ],
)
async def test_the_database_holds_it_too(database: Database, change: str) -> None:
    draft = playbooks.PlaybookDraft(name="挽留", measures=[given_points(5_000)])
    async with database.begin() as tx:
        await playbooks.create_playbook(tx, draft=draft, by=uuid4())
    with pytest.raises(IntegrityError):
        async with database.begin() as tx:
            await tx.session.execute(text(f"UPDATE playbook SET {change}"))


async def test_what_comes_with_the_product_has_an_author_that_nobody_is(
    api: Api, database: Database
) -> None:
    async with database.begin() as tx:
        made = await playbooks.ensure_playbook(tx)
        assert made is not None
        keys = list(await tx.session.scalars(select(coupons.Batch.id)))
        for key in keys:
            await coupons.approve_batch(tx, batch_id=key, by=AUTHOR.id)
        alone = select(func.count(coupons.Batch.id)).where(coupons.Batch.approved_alone)
        assert await tx.session.scalar(alone) == 0
    document = "{ playbooks { nodes { writtenBy } } couponBatches { nodes { draftedBy } } }"
    shown = (await api(document, caller=OWNER))["data"]
    assert shown["playbooks"]["nodes"] == [{"writtenBy": None}]
    assert {node["draftedBy"] for node in shown["couponBatches"]["nodes"]} == {None}
