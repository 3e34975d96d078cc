"""Builders of coupon templates, batches and coupons."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app import coupons
from app.kernel.db import Tx


async def template(
    tx: Tx,
    *,
    kind: coupons.Kind = coupons.Kind.FIXED,
    value: int = 500,
    validity: coupons.Validity = coupons.Validity.RELATIVE,
    valid_days: int | None = 7,
    **more: Any,
) -> coupons.Template:
    """Five yuan off anything for seven days, unless told otherwise."""
    draft = coupons.TemplateDraft(
        name="五元券",
        kind=kind,
        value=value,
        validity=validity,
        valid_days=valid_days if validity is coupons.Validity.RELATIVE else None,
        **more,
    )
    return await coupons.create_template(tx, draft=draft, by=None)


async def batch(
    tx: Tx,
    *,
    template_id: UUID | None = None,
    quantity: int = 100,
    budget_fen: int | None = None,
    state: coupons.BatchState = coupons.BatchState.ACTIVE,
    code_mode: coupons.CodeMode = coupons.CodeMode.UNIQUE,
) -> coupons.Batch:
    """An active batch, unless told otherwise, of a template of its own unless one is named."""
    made = await coupons.create_batch(
        tx,
        template_id=template_id or (await template(tx)).id,
        quantity=quantity,
        budget_fen=budget_fen,
        code_mode=code_mode,
    )
    made.state = state
    await tx.session.flush()
    return made


async def coupon(
    tx: Tx,
    *,
    member_id: UUID,
    batch_id: UUID | None = None,
    expires_at: datetime | None = None,
) -> coupons.Coupon:
    """A coupon given to a member by staff."""
    source = batch_id or (await batch(tx)).id
    grants = await coupons.grant(
        tx, batch_id=source, member_ids=[member_id], source=coupons.Source.STAFF
    )
    row = await tx.session.get_one(coupons.Coupon, (member_id, grants.granted[member_id]))
    if expires_at is not None:
        row.expires_at = expires_at
        await tx.session.flush()
    return row
