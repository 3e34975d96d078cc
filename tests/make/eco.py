"""Builders of eco actions and badges."""

from uuid import UUID, uuid4

from app import eco
from app.kernel.db import Tx


async def action(
    tx: Tx,
    *,
    member_id: UUID,
    type: eco.EcoType = eco.EcoType.PACKAGING_RETURN,
    credited: bool = False,
) -> eco.EcoAction:
    """An action shown by a leader's scan, waiting unless credited; the factors must be there."""
    row = await eco.submit(
        tx,
        member_id=member_id,
        type=type,
        evidence_kind=eco.EvidenceKind.LEADER_SCAN,
        evidence="scan-1",
    )
    return await eco.verify(tx, action_id=row.id, actor_id=uuid4()) if credited else row


async def badge(
    tx: Tx,
    *,
    code: str = "TEST",
    fact: eco.BadgeFact = eco.BadgeFact.ECO_ACTIONS,
    at_least: int = 1,
    valid_days: int | None = None,
) -> eco.Badge:
    """A class of badge."""
    row = eco.Badge(
        code=code,
        name_zh="测试徽章",
        name_en="Test badge",
        description_zh="测试",
        description_en="For tests.",
        fact=fact,
        at_least=at_least,
        valid_days=valid_days,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row
