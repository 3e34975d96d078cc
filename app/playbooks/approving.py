"""What a playbook's author alone may answer for, and approval by another for what is above it."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from app import coupons
from app.kernel.db import Read, Tx
from app.playbooks.errors import PlaybookNeedsApproval
from app.playbooks.rules import ALONE_FEN, ALONE_KEY, MOST_ALONE_FEN, POINT_FEN
from app.playbooks.tables import Playbook

# A member passes through each level of an alert once, and at each belongs to one audience. A
# setting that is no whole number within the bounds counts as not chosen; a playbook for everybody
# goes by the strictest community.
_OWN = f"(c.settings ->> '{ALONE_KEY}')"
_WORTHS = text(
    f"""
    SELECT p.id, given.fen, coalesce(bound.fen, {ALONE_FEN}) AS limit_fen
    FROM playbook p
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(most), 0) AS fen FROM (
            SELECT max(coalesce(t.points, 0) * {POINT_FEN}
                       + coalesce(o.max_discount_fen, 0)) AS most
            FROM playbook_measure t
            LEFT JOIN coupon_batch b ON b.id = t.batch_id
            LEFT JOIN coupon_template o ON o.id = b.template_id
            WHERE t.playbook_id = p.id
            GROUP BY t.level
        ) level
    ) given
    CROSS JOIN LATERAL (
        SELECT min(
            CASE WHEN jsonb_typeof(c.settings -> '{ALONE_KEY}') = 'number'
                      AND {_OWN} ~ '^[0-9]{{1,9}}$'
                 THEN CASE WHEN {_OWN}::bigint <= {MOST_ALONE_FEN} THEN {_OWN}::bigint
                           ELSE {ALONE_FEN} END
                 ELSE {ALONE_FEN} END) AS fen
        FROM community c
        WHERE p.community_id IS NULL OR c.id = p.community_id
    ) bound
    WHERE p.id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))


@dataclass(frozen=True, slots=True)
class Worth:
    """The most that one alert can bring one member by a version, and what its author may alone."""

    fen: int
    limit_fen: int

    @property
    def is_above(self) -> bool:
        """Whether another than the author has to approve it."""
        return self.fen > self.limit_fen


async def worths_by_playbook(read: Read, keys: Iterable[UUID]) -> dict[UUID, Worth]:
    """What each version may give, beside the limit of its community as it is now."""
    rows = await read.session.execute(_WORTHS, {"ids": list(keys)})
    return {row.id: Worth(int(row.fen), row.limit_fen) for row in rows}


async def note_need(tx: Tx, row: Playbook) -> None:
    """Note on a version just written whether another has to approve it."""
    row.needs_approval = (await worths_by_playbook(tx, [row.id]))[row.id].is_above
    await tx.session.flush()


async def check_approved(tx: Tx, row: Playbook) -> None:
    """Raise PlaybookNeedsApproval for a version that another has to approve and nobody has.

    It has to be where it gave too much when it was written or does now: a limit that is lowered
    counts at once, and one that is raised lets nothing through that was written before.
    """
    if row.approved_by is not None:
        return
    worth = (await worths_by_playbook(tx, [row.id]))[row.id]
    row.needs_approval = row.needs_approval or worth.is_above
    if row.needs_approval:
        raise PlaybookNeedsApproval(
            worth=coupons.yuan(worth.fen), limit=coupons.yuan(worth.limit_fen)
        )
