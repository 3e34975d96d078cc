"""Templates and the batches that limit how many of their coupons there are."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select, update

from app.coupons.drafting import LONGEST_REASON, TemplateDraft, checked_cost, cleaned
from app.coupons.errors import (
    BatchHeldByDrop,
    BatchMoveNotAllowed,
    BatchNeedsAnother,
    BatchNotActive,
    BatchNotFound,
    BatchTooSmall,
    TemplateNotFound,
)
from app.coupons.rules import MAX_FEN, MOVES
from app.coupons.tables import Batch, BatchState, CodeMode, Template, Validity
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.numbers import check_within
from app.kernel.text import checked_text

MAX_QUANTITY = 100_000_000
MOST_CODES = 1_000_000


async def create_template(tx: Tx, *, draft: TemplateDraft, by: UUID | None) -> Template:
    """Store a template; templates never change, so that given coupons keep their terms.

    Raises InvalidInput.
    """
    draft = cleaned(draft)
    most = checked_cost(draft)
    relative = draft.validity is Validity.RELATIVE
    template = Template(
        id=tx.new_id(),
        name=draft.name,
        kind=draft.kind,
        value=draft.value,
        threshold_fen=draft.threshold_fen,
        max_discount_fen=most,
        skus=list(draft.skus),
        categories=list(draft.categories),
        validity=draft.validity,
        valid_from=draft.valid_from,
        valid_until=draft.valid_until,
        wait_days=(draft.wait_days or 0) if relative else None,
        valid_days=draft.valid_days,
        validity_reason=draft.validity_reason,
        return_policy=draft.return_policy,
        stacking_group=draft.stacking_group,
        exclusive=draft.exclusive,
        priority=draft.priority,
        per_member=draft.per_member,
        per_identity=draft.per_identity,
        first_order=draft.first_order,
        ready_key=draft.ready_key,
        created_by=by,
        created_at=tx.now,
    )
    tx.session.add(template)
    await tx.session.flush()
    return template


async def create_batch(
    tx: Tx,
    *,
    template_id: UUID,
    quantity: int,
    budget_fen: int | None = None,
    code_mode: CodeMode = CodeMode.UNIQUE,
    by: UUID | None = None,
) -> Batch:
    """Draft a batch; without a budget it gets what all its coupons can cost at most.

    Raises TemplateNotFound, InvalidInput.
    """
    template = await tx.session.get(Template, template_id)
    if template is None:
        raise TemplateNotFound()
    check_within(quantity, 1, MAX_QUANTITY, field="quantity")
    if code_mode is CodeMode.BULK and quantity > MOST_CODES:
        raise InvalidInput(
            field="quantity",
            reason=f"at most {MOST_CODES} with codes made in advance",
            reason_zh=f"预制码批次最多{MOST_CODES}张",
        )
    budget = quantity * template.max_discount_fen if budget_fen is None else budget_fen
    if not template.max_discount_fen <= budget <= MAX_FEN:
        raise InvalidInput(
            field="budgetFen",
            reason="must pay for at least one coupon and stay under 2^53",
            reason_zh="须至少够一张券，且不超过2^53",
        )
    batch = Batch(
        id=tx.new_id(),
        template_id=template_id,
        quantity=quantity,
        budget_fen=budget,
        code_mode=code_mode,
        state=BatchState.DRAFT,
        granted=0,
        set_aside=0,
        redeemed=0,
        reserved_fen=0,
        spent_fen=0,
        drafted_by=by,
        approved_alone=False,
        created_at=tx.now,
    )
    tx.session.add(batch)
    await tx.session.flush()
    return batch


async def approve_batch(tx: Tx, *, batch_id: UUID, by: UUID | None, alone: bool = False) -> Batch:
    """Approve a drafted batch; it gives out coupons once it is moved to ACTIVE.

    Somebody else does it than who drafted it, unless one person may do both (`alone`): then the
    batch keeps that it was so. Raises BatchNotFound, BatchMoveNotAllowed, BatchNeedsAnother.
    """
    batch = await move_batch(tx, batch_id=batch_id, to=BatchState.APPROVED)
    own = by is not None and by == batch.drafted_by
    if own and not alone:
        raise BatchNeedsAnother()
    batch.approved_by, batch.approved_alone = by, own
    await tx.session.flush()
    return batch


async def move_batch(tx: Tx, *, batch_id: UUID, to: BatchState) -> Batch:
    """Take a batch to another state.

    Once REVOKED, none of its coupons can be redeemed any more. Raises BatchNotFound,
    BatchMoveNotAllowed, BatchHeldByDrop.
    """
    batch = await locked_batch(tx, batch_id)
    if to not in MOVES[batch.state]:
        raise BatchMoveNotAllowed(state=batch.state, to=to)
    if to in {BatchState.ENDED, BatchState.REVOKED} and batch.set_aside:
        raise BatchHeldByDrop(held=batch.set_aside)
    batch.state = to
    await tx.session.flush()
    return batch


def check_reason(reason: str | None) -> None:
    """Raise InvalidInput unless the reason of a move, if there is one, can be kept."""
    if reason is not None:
        checked_text(reason, field="reason", longest=LONGEST_REASON, shortest=0)


async def set_aside(tx: Tx, *, batch_id: UUID, quantity: int) -> Batch:
    """Promise coupons, and the money for them, to one taker who hands them out later.

    Raises BatchNotFound, BatchNotActive, BatchTooSmall.
    """
    batch = await locked_batch(tx, batch_id)
    if batch.state is not BatchState.ACTIVE:
        raise BatchNotActive(state=batch.state)
    template = await tx.session.get_one(Template, batch.template_id)
    if template.per_identity is not None:
        # Claims of a drop touch no row of the template: they cannot keep this limit.
        raise InvalidInput(
            field="batchId",
            reason="coupons limited by person cannot be set aside for a drop",
            reason_zh="按人限领的优惠券不能用于秒杀",
        )
    cost = template.max_discount_fen
    left = capacity(batch, cost)
    if left < quantity:
        raise BatchTooSmall(left=left)
    batch.set_aside += quantity
    batch.reserved_fen += quantity * cost
    await tx.session.flush()
    return batch


async def settle_aside(tx: Tx, *, batch_id: UUID, taken: int, returned: int) -> None:
    """End a promise made by `set_aside`: so many were handed out, so many come back.

    Raises BatchNotFound.
    """
    batch = await locked_batch(tx, batch_id)
    batch.set_aside -= taken + returned
    batch.granted += taken
    batch.reserved_fen -= returned * await cost_of_one(tx, batch)
    exhaust_if_empty(batch)
    await tx.session.flush()


async def locked_batch(tx: Tx, batch_id: UUID) -> Batch:
    """The batch, held until the transaction ends. Raises BatchNotFound."""
    batch = await tx.session.scalar(
        select(Batch)
        .where(Batch.id == batch_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if batch is None:
        raise BatchNotFound()
    return batch


async def cost_of_one(tx: Tx, batch: Batch) -> int:
    """What one coupon of the batch can cost at most, in fen."""
    return (await tx.session.get_one(Template, batch.template_id)).max_discount_fen


def capacity(batch: Batch, cost: int) -> int:
    """How many more coupons quantity and budget allow."""
    by_quantity = batch.quantity - batch.granted - batch.set_aside
    by_budget = (batch.budget_fen - batch.reserved_fen - batch.spent_fen) // cost
    return min(by_quantity, by_budget)


def exhaust_if_empty(batch: Batch) -> None:
    """Close the batch once its whole quantity is in members' hands."""
    if batch.state is BatchState.ACTIVE and batch.granted == batch.quantity:
        batch.state = BatchState.EXHAUSTED


async def release_budget(tx: Tx, *, ended: Mapping[UUID, int]) -> None:
    """Give back the money of coupons that will never be redeemed: coupons by batch."""
    for batch_id in sorted(ended):
        cost = (
            select(Template.max_discount_fen)
            .where(Template.id == Batch.template_id)
            .scalar_subquery()
        )
        await tx.session.execute(
            update(Batch)
            .where(Batch.id == batch_id)
            .values(reserved_fen=Batch.reserved_fen - ended[batch_id] * cost)
            .execution_options(synchronize_session=False)
        )
