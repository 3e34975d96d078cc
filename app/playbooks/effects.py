"""What playbooks changed: members who were treated against members held out by lot.

Everything is compared as it was drawn (intention to treat), whatever became of a coupon. A member
counts once, from their first action in the experiment on (for a level: their first at that level),
when the horizon after it is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from app.kernel.db import Read
from app.playbooks.estimates import (
    SPLIT_IS_WRONG,
    Estimate,
    Sums,
    difference_of_means,
    difference_of_rates,
    split_chance,
)
from app.playbooks.tables import Audience, Level, Playbook

# Levels that do nothing, and members whom the policy leaves alone, are not what is measured; both
# are decided before the draw, so that leaving them out takes nothing from its fairness. An
# experiment has one horizon and one pair of shares: other ones begin another.
_ROWS = """
    SELECT a.*, row_number() OVER (PARTITION BY member_id ORDER BY a.at, a.level) AS nth,
           row_number() OVER (PARTITION BY member_id, a.level ORDER BY a.at) AS nth_of_level
    FROM playbook_action a
    WHERE a.experiment_id = :experiment_id AND a.kind <> 'NOTHING' AND NOT a.left_alone
      AND a.at <= CAST(:now AS timestamptz) - make_interval(days => :horizon)
"""
_AFTER = """
    CROSS JOIN LATERAL (
        SELECT count(*) > 0 AS stayed,
               coalesce(sum(o.total_fen - o.refunded_fen), 0)::float8 AS net_fen
        FROM member_order o
        WHERE o.member_id = r.member_id AND o.paid_at > r.at
          AND o.paid_at <= r.at + make_interval(days => :horizon)
          AND o.status IN ('PAID', 'SETTLED', 'PARTLY_REFUNDED')
    ) came
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(b.cost_fen), 0)::float8 AS cost_fen
        FROM playbook_action b
        WHERE b.member_id = r.member_id AND b.experiment_id = :experiment_id
          AND b.at >= r.at AND b.at <= r.at + make_interval(days => :horizon)
    ) spent
"""
_SUMS = text(
    f"""
    WITH r AS ({_ROWS}), split AS (
        SELECT CAST(NULL AS text) AS scope, arm = 'CONTROL' AS held, r.* FROM r WHERE nth = 1
        UNION ALL
        SELECT level, arm = 'LEVEL_CONTROL', r.* FROM r WHERE nth_of_level = 1 AND arm <> 'CONTROL'
    ), measured AS (
        SELECT r.scope, r.held, r.audience, came.stayed, came.net_fen - spent.cost_fen AS y,
               coalesce((r.features ->> 'net_90_fen')::float8, 0) AS x, spent.cost_fen
        FROM split r {_AFTER}
    )
    SELECT scope, audience, held, count(*), count(*) FILTER (WHERE stayed),
           sum(y), sum(y * y), sum(x), sum(x * x), sum(x * y), sum(cost_fen)
    FROM measured
    GROUP BY GROUPING SETS ((scope, held), (scope, audience, held))
    ORDER BY scope NULLS FIRST, audience NULLS FIRST, held
    """
)


@dataclass(frozen=True, slots=True)
class Effect:
    """The two arms of a playbook or of one level, for everyone or one audience.

    `stay` is the difference of the shares that ordered within the horizon, `net` that of net
    revenue a member less what was spent, in fen (coupons lower the orders themselves). Both are
    None where an arm is too small, or where the split is not to be believed (`is_blocked`).
    """

    level: Level | None
    audience: Audience | None
    treated: Sums
    control: Sums
    split: float
    stay: Estimate | None
    net: Estimate | None

    @property
    def is_blocked(self) -> bool:
        """Whether more or fewer were held out than chance allows: something is broken."""
        return self.split < SPLIT_IS_WRONG


async def effects_by_playbook(read: Read, keys: Iterable[UUID]) -> dict[UUID, list[Effect]]:
    """What each playbook's experiment has shown so far: the whole first, then level by level.

    Versions of one experiment have one answer. Unknown ids are absent.
    """
    found: dict[UUID, list[Effect]] = {}
    for key in keys:
        row = await read.session.get(Playbook, key)
        if row is not None:
            found[key] = await _effects(read, row)
    return found


async def _effects(read: Read, playbook: Playbook) -> list[Effect]:
    rows = await read.session.execute(
        _SUMS,
        {
            "experiment_id": playbook.experiment_id,
            "horizon": playbook.horizon_days,
            "now": read.now,
        },
    )
    arms: dict[tuple[str | None, str | None], dict[bool, Sums]] = {}
    for scope, audience, held, *sums in rows:
        arms.setdefault((scope, audience), {})[held] = Sums(*sums)
    return [_effect(playbook, scope, by_arm) for scope, by_arm in arms.items()]


def _effect(
    playbook: Playbook, scope: tuple[str | None, str | None], by_arm: dict[bool, Sums]
) -> Effect:
    level, audience = scope
    treated, control = by_arm.get(False, Sums()), by_arm.get(True, Sums())
    permille = playbook.holdout_permille if level is None else playbook.level_holdout_permille
    members = treated.members + control.members
    split = split_chance(control.members, members, permille / 1_000)
    believed = split >= SPLIT_IS_WRONG
    return Effect(
        level=None if level is None else Level(level),
        audience=None if audience is None else Audience(audience),
        treated=treated,
        control=control,
        split=split,
        stay=difference_of_rates(treated, control) if believed else None,
        net=difference_of_means(treated, control) if believed else None,
    )
