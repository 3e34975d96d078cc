"""Ids in the audit log of rows whose key is no UUID."""

from datetime import date
from uuid import UUID

from app import gifts, tiers
from schema.subjects import NamedSubject


def test_each_key_has_an_id_of_its_own_that_stays() -> None:
    month = date(2026, 3, 1)
    keys = [
        (tiers.TierRun, {"month": month, "zone": "Asia/Shanghai"}),
        (tiers.TierRun, {"month": month, "zone": "Asia/Urumqi"}),
        (tiers.TierRun, {"month": date(2026, 4, 1), "zone": "Asia/Urumqi"}),
        (gifts.OccasionGift, {"occasion": "BIRTHDAY", "tier_code": None}),
        (gifts.OccasionGift, {"occasion": "BIRTHDAY", "tier_code": "None"}),
        (gifts.OccasionGift, {"occasion": "BIRTHDAY", "tier_code": "GOLD"}),
        (gifts.OccasionGift, {"occasion": "BIRTHDAY", "tier_code": "GOLD", "ended_at": None}),
        (tiers.Tier, {"code": "GOLD"}),
        (tiers.Benefit, {"code": "GOLD"}),
        # What could be taken for two parts of a key, and is one.
        (tiers.Tier, {"code": '["GOLD", null]'}),
    ]
    ids = [NamedSubject(table, dict(where)).id for table, where in keys]
    assert len(set(ids)) == len(keys)
    assert ids == [NamedSubject(table, dict(where)).id for table, where in keys]


def test_a_code_keeps_its_id_from_version_to_version() -> None:
    assert NamedSubject(tiers.Tier, {"code": "GOLD"}).id == UUID(
        "69ffd41b-ec95-570a-9572-b26714ba94af"
    )
