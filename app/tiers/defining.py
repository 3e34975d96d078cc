"""What staff define: tiers, benefits, and which tier has which."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert

from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.sets import lock_name
from app.kernel.text import checked_text
from app.tiers.defaults import DEFAULT_BENEFITS, DEFAULT_GRANTS, DEFAULT_TIERS
from app.tiers.errors import BenefitNotFound, TierNotFound
from app.tiers.queries import all_tiers
from app.tiers.tables import Benefit, BenefitKind, BenefitWindow, Tier, TierBenefit

LONGEST_NAME = 40
LONGEST_DESCRIPTION = 200
LARGEST_GROWTH = 1_000_000_000
LARGEST_QUOTA = 10_000
MOST_BENEFITS = 100
_TIER_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
_BENEFIT_CODE = re.compile(r"[a-z][a-z0-9-]{0,47}")

_COPY = text("""
UPDATE tier t SET benefits = coalesce((
    SELECT jsonb_agg(jsonb_build_object('code', b.code, 'zh', b.name_zh, 'en', b.name_en,
        'quota', g.quota, 'window', g.window_kind) ORDER BY g.place)
    FROM tier_benefit g JOIN benefit b ON b.code = g.benefit_code
    WHERE g.tier_code = t.code AND b.active), '[]'::jsonb)
WHERE t.code = ANY(CAST(:codes AS text[]))
""")


@dataclass(frozen=True, slots=True)
class Grant:
    """That a tier gives a benefit, `quota` times within the window; both None without limit."""

    benefit_code: str
    quota: int | None = None
    window: BenefitWindow | None = None


async def ensure_tiers(tx: Tx) -> None:
    """Set up the default tiers and benefits where none are; those that staff have changed stay."""
    await tx.session.execute(
        insert(Benefit).values(list(DEFAULT_BENEFITS)).on_conflict_do_nothing()
    )
    made = await tx.session.scalars(
        insert(Tier).values(list(DEFAULT_TIERS)).on_conflict_do_nothing().returning(Tier.code)
    )
    codes = list(made)
    rows = [
        row
        for code in codes
        for row in _rows(code, [Grant(*grant) for grant in DEFAULT_GRANTS[code]])
    ]
    if rows:
        await tx.session.execute(insert(TierBenefit).values(rows))
        await _copy(tx, codes)


async def define_tier(
    tx: Tx,
    *,
    code: str,
    rank: int,
    name_zh: str,
    name_en: str,
    upgrade_at: int,
    retain_at: int,
) -> Tier:
    """Make a tier, or change the one of this code; the next run and upgrades go by it.

    Ranks differ, growth rises with them, and the lowest tier is everybody's from 0 on. Raises
    InvalidInput.
    """
    if not _TIER_CODE.fullmatch(code):
        raise InvalidInput(
            field="code",
            reason="such as GOLD, at most 32 letters and digits",
            reason_zh="如GOLD，最多32个大写字母和数字",
        )
    if not 0 <= retain_at <= upgrade_at <= LARGEST_GROWTH:
        raise InvalidInput(field="retainAt", reason="0 to upgradeAt", reason_zh="0至升级成长值")
    await lock_name(tx, "tiers")
    tiers = {tier.code: tier for tier in await all_tiers(tx)}
    ladder = [(tier.rank, tier.upgrade_at) for tier in tiers.values() if tier.code != code]
    _check_ladder(sorted([*ladder, (rank, upgrade_at)]))
    given: dict[str, object] = {
        "rank": rank,
        "name_zh": checked_text(name_zh, field="nameZh", longest=LONGEST_NAME),
        "name_en": checked_text(name_en, field="nameEn", longest=LONGEST_NAME),
        "upgrade_at": upgrade_at,
        "retain_at": retain_at,
    }
    return await _put_tier(tx, code, given)


async def define_benefit(
    tx: Tx,
    *,
    code: str,
    kind: BenefitKind,
    name_zh: str,
    name_en: str,
    description_zh: str = "",
    description_en: str = "",
    needs_booking: bool = False,
    partner: str | None = None,
    active: bool = True,
) -> Benefit:
    """Make a benefit, or change the one of this code in every tier that has it.

    One that is not active stays with its tiers, unseen, until it is active again. Raises
    InvalidInput.
    """
    if not _BENEFIT_CODE.fullmatch(code):
        raise InvalidInput(
            field="code",
            reason="such as vip-group, at most 48 small letters",
            reason_zh="如vip-group，最多48个小写字母",
        )
    given = {
        "kind": kind,
        "name_zh": checked_text(name_zh, field="nameZh", longest=LONGEST_NAME),
        "name_en": checked_text(name_en, field="nameEn", longest=LONGEST_NAME),
        "description_zh": _described(description_zh, "descriptionZh"),
        "description_en": _described(description_en, "descriptionEn"),
        "needs_booking": needs_booking,
        "partner": None
        if partner is None
        else checked_text(partner, field="partner", longest=LONGEST_NAME),
        "active": active,
    }
    await lock_name(tx, "tiers")
    await tx.session.execute(
        insert(Benefit)
        .values(code=code, **given)
        .on_conflict_do_update(index_elements=[Benefit.code], set_=given)
    )
    holders = select(TierBenefit.tier_code).where(TierBenefit.benefit_code == code)
    await _copy(tx, await tx.session.scalars(holders))
    return await tx.session.get_one(Benefit, code, populate_existing=True)


async def set_tier_benefits(tx: Tx, *, tier_code: str, grants: Sequence[Grant]) -> Tier:
    """Give a tier exactly these benefits, in this order; what was used of them stays counted.

    Raises TierNotFound, BenefitNotFound, InvalidInput.
    """
    _check_grants(grants)
    await lock_name(tx, "tiers")
    if await tx.session.get(Tier, tier_code) is None:
        raise TierNotFound(tier=tier_code)
    codes = [grant.benefit_code for grant in grants]
    known = set(await tx.session.scalars(select(Benefit.code).where(Benefit.code.in_(codes))))
    unknown = next((code for code in codes if code not in known), None)
    if unknown is not None:
        raise BenefitNotFound(benefit=unknown)
    await tx.session.execute(delete(TierBenefit).where(TierBenefit.tier_code == tier_code))
    if grants:
        await tx.session.execute(insert(TierBenefit).values(_rows(tier_code, grants)))
    await _copy(tx, [tier_code])
    return await tx.session.get_one(Tier, tier_code, populate_existing=True)


async def _put_tier(tx: Tx, code: str, given: Mapping[str, object]) -> Tier:
    await tx.session.execute(
        insert(Tier)
        .values(code=code, **given)
        .on_conflict_do_update(index_elements=[Tier.code], set_=dict(given))
    )
    return await tx.session.get_one(Tier, code, populate_existing=True)


def _rows(tier_code: str, grants: Sequence[Grant]) -> list[dict[str, object]]:
    return [
        {
            "tier_code": tier_code,
            "benefit_code": grant.benefit_code,
            "place": place,
            "quota": grant.quota,
            "window_kind": grant.window,
        }
        for place, grant in enumerate(grants, 1)
    ]


async def _copy(tx: Tx, codes: Iterable[str]) -> None:
    await tx.session.execute(_COPY, {"codes": list(codes)})


def _check_ladder(ladder: Sequence[tuple[int, int]]) -> None:
    if ladder[0][0] < 1:
        raise InvalidInput(field="rank", reason="at least 1", reason_zh="至少为1")
    if ladder[0][1] != 0:
        raise InvalidInput(
            field="upgradeAt", reason="the lowest tier begins at 0", reason_zh="最低等级须从0开始"
        )
    for lower, upper in pairwise(ladder):
        if lower[0] == upper[0]:
            raise InvalidInput(field="rank", reason="taken", reason_zh="已被占用")
        if lower[1] >= upper[1]:
            raise InvalidInput(
                field="upgradeAt",
                reason="must rise with the rank",
                reason_zh="须随等级递增",
            )


def _check_grants(grants: Sequence[Grant]) -> None:
    if len(grants) > MOST_BENEFITS:
        raise InvalidInput(
            field="benefits", reason=f"at most {MOST_BENEFITS}", reason_zh=f"最多{MOST_BENEFITS}项"
        )
    if len({grant.benefit_code for grant in grants}) < len(grants):
        raise InvalidInput(field="benefits", reason="each once", reason_zh="不能重复")
    for grant in grants:
        if (grant.quota is None) != (grant.window is None):
            raise InvalidInput(
                field="benefits",
                reason="quota and window together",
                reason_zh="次数与周期须同填",
            )
        if grant.quota is not None and not 1 <= grant.quota <= LARGEST_QUOTA:
            raise InvalidInput(
                field="benefits",
                reason=f"quota from 1 to {LARGEST_QUOTA}",
                reason_zh=f"次数须为1至{LARGEST_QUOTA}",
            )


def _described(value: str, field: str) -> str:
    return checked_text(value, field=field, longest=LONGEST_DESCRIPTION, shortest=0)
