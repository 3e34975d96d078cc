"""What staff define of tiers and benefits, and that members see it at once."""

import pytest
from sqlalchemy import func, select

from app import tiers
from app.kernel.db import Database
from app.kernel.errors import InvalidInput
from tests.make.members import member

PLATINUM = {
    "code": "PLATINUM",
    "rank": 4,
    "name_zh": "铂金",
    "name_en": "Platinum",
    "upgrade_at": 20_000,
    "retain_at": 15_000,
}


@pytest.fixture(autouse=True)
async def _tiers(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)


async def define(database: Database, **given: object) -> tiers.Tier:
    async with database.begin() as tx:
        return await tiers.define_tier(tx, **(PLATINUM | given))  # pyright: ignore[reportArgumentType]


async def names(database: Database, tier: str) -> list[str]:
    async with database.read() as read:
        row = (await tiers.tiers_by_code(read, [tier]))[tier]
    return [one["en"] for one in row.benefits]


async def test_the_copy_in_a_tier_is_what_its_rows_say(database: Database) -> None:
    async with database.read() as read:
        rows = await read.session.execute(
            select(tiers.TierBenefit).order_by(tiers.TierBenefit.tier_code, tiers.TierBenefit.place)
        )
        found: dict[str, list[tuple[str, int | None, str | None]]] = {}
        for (row,) in rows:
            found.setdefault(row.tier_code, []).append(
                (row.benefit_code, row.quota, row.window_kind)
            )
        copies = {
            tier.code: [(one["code"], one["quota"], one["window"]) for one in tier.benefits]
            for tier in await tiers.all_tiers(read)
        }
    assert found == copies
    assert len(copies["DIAMOND"]) == 10


async def test_a_second_set_up_changes_nothing_that_staff_changed(database: Database) -> None:
    async with database.begin() as tx:
        await tiers.set_tier_benefits(tx, tier_code="GOLD", grants=[tiers.Grant("vip-group")])
    async with database.begin() as tx:
        await tiers.ensure_tiers(tx)
    assert await names(database, "GOLD") == ["VIP group"]


async def test_a_tier_above_is_made_reached_and_changed(database: Database) -> None:
    made = await define(database)
    assert (made.code, made.benefits) == ("PLATINUM", [])
    changed = await define(database, name_en="Platinum plus", upgrade_at=30_000)
    assert (changed.name_en, changed.upgrade_at) == ("Platinum plus", 30_000)
    async with database.read() as read:
        ranks = [tier.code for tier in await tiers.all_tiers(read)]
    assert ranks == ["NORMAL", "GOLD", "DIAMOND", "PLATINUM"]


@pytest.mark.parametrize(
    "given",
    [
        {"code": "platinum"},
        {"rank": 3},
        {"rank": 0},
        {"upgrade_at": 8_000, "retain_at": 0},
        {"upgrade_at": 7_000, "retain_at": 0},
        {"retain_at": 20_001},
        {"retain_at": -1},
        {"code": "NORMAL", "rank": 1, "upgrade_at": 5, "retain_at": 0},
        {"code": "NORMAL", "rank": 9, "upgrade_at": 30_000},
        {"name_zh": " "},
    ],
)
async def test_a_ladder_that_does_not_stand_is_refused(
    database: Database, given: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput):
        await define(database, **given)


async def test_a_benefit_is_renamed_hidden_and_shown_wherever_it_is_given(
    database: Database,
) -> None:
    given = {"code": "vip-group", "kind": tiers.BenefitKind.GROUP, "name_zh": "茶话群"}

    async def put(**more: object) -> None:
        async with database.begin() as tx:
            await tiers.define_benefit(tx, **given, **more)  # pyright: ignore[reportArgumentType]

    await put(name_en="Tea circle")
    assert "Tea circle" in await names(database, "DIAMOND")
    await put(name_en="Tea circle", active=False)
    assert "Tea circle" not in await names(database, "DIAMOND")
    async with database.begin() as tx:
        person = (await member(tx)).id
        with pytest.raises(tiers.BenefitNotFound):
            await tiers.use_benefit(tx, member_id=person, benefit_code="vip-group")
    await put(name_en="Tea circle")
    assert "Tea circle" in await names(database, "DIAMOND")


async def test_a_catalogue_has_no_end(database: Database) -> None:
    async with database.begin() as tx:
        for number in range(60):
            await tiers.define_benefit(
                tx,
                code=f"club-{number:02}",
                kind=tiers.BenefitKind.OTHER,
                name_zh=f"俱乐部{number}",
                name_en=f"Club {number}",
            )
        grants = [
            tiers.Grant(f"club-{number:02}", 1, tiers.BenefitWindow.LIFETIME)
            for number in reversed(range(60))
        ]
        row = await tiers.set_tier_benefits(tx, tier_code="NORMAL", grants=grants)
    assert [one["code"] for one in row.benefits] == [grant.benefit_code for grant in grants]
    async with database.read() as read:
        assert await read.session.scalar(select(func.count()).select_from(tiers.Benefit)) == 70
        page = await tiers.benefit_page(read, first=3, after="club-58")
    assert [row.code for row in page] == [
        "club-59",
        "community-hospital",
        "dedicated-service",
        "early-purchase",
    ]


@pytest.mark.parametrize(
    "grants",
    [
        [tiers.Grant("vip-group", 1, None)],
        [tiers.Grant("vip-group", None, tiers.BenefitWindow.MONTH)],
        [tiers.Grant("vip-group", 0, tiers.BenefitWindow.MONTH)],
        [tiers.Grant("vip-group"), tiers.Grant("vip-group")],
    ],
)
async def test_grants_that_say_two_things_are_refused(
    database: Database, grants: list[tiers.Grant]
) -> None:
    before = await names(database, "GOLD")
    with pytest.raises(InvalidInput):
        async with database.begin() as tx:
            await tiers.set_tier_benefits(tx, tier_code="GOLD", grants=grants)
    for tier, grant in (("GOLD", "no-such"), ("NO_SUCH", "vip-group")):
        with pytest.raises((tiers.BenefitNotFound, tiers.TierNotFound)):
            async with database.begin() as tx:
                await tiers.set_tier_benefits(tx, tier_code=tier, grants=[tiers.Grant(grant)])
    assert await names(database, "GOLD") == before
