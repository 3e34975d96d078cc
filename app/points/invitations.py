"""Commands of sharing: who invited whom, what that brings, and what takes it back.

An invitation follows the orders of the invited: `follow_invitation` brings it up to what is known
of them, in whatever order their facts arrive.
"""

import secrets
from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.dialects.postgresql import insert

from app import orders
from app.kernel.db import Tx
from app.kernel.text import checked_text
from app.members import Identity, MemberNotActive
from app.orders import Order
from app.points.clawback import reverse
from app.points.earning import earn
from app.points.errors import (
    AlreadyInvited,
    InvitationRing,
    NotANewcomer,
    OwnInvitation,
    ShareNotFound,
    TooManyInvitations,
)
from app.points.events import InvitationChanged
from app.points.queries import heir_of, invited_by, place_of
from app.points.rules import SHARING_RULE, OrderFacts, is_taken_back, sharing_settings
from app.points.sharing import accepted_since, first_of_month
from app.points.tables import (
    Invitation,
    InvitationState,
    InvitedIdentity,
    Share,
    ShareTarget,
    Source,
)

# Without letters and digits that are taken for one another when read aloud.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
CODE_LENGTH = 10
LONGEST_TARGET = 100
# Whether an invitation would close a ring depends on invitations of others, which nothing but this
# keeps from being accepted meanwhile. Held for some statements, and only by who accepts or merges.
ACCEPT_LOCK = 0x11_0004


async def share(
    tx: Tx, *, member_id: UUID, target_kind: ShareTarget, target: str | None = None
) -> Share:
    """A member's link to a product, a drop or their community; the same target has the same link.

    Raises MemberNotFound, MemberNotActive, InvalidInput.
    """
    if not (await place_of(tx, member_id)).active:
        raise MemberNotActive()
    named = ""
    if target_kind is not ShareTarget.COMMUNITY:
        named = checked_text(target or "", field="target", longest=LONGEST_TARGET)
    code = "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))
    key = {"member_id": member_id, "target_kind": target_kind, "target": named}
    await tx.session.execute(
        insert(Share)
        .values(**key, id=tx.new_id(), code=code, created_at=tx.now)
        .on_conflict_do_nothing(index_elements=[Share.member_id, Share.target_kind, Share.target])
    )
    return (await tx.session.scalars(select(Share).filter_by(**key))).one()


async def accept_invitation(tx: Tx, *, member_id: UUID, code: str) -> Invitation:
    """Bind a newcomer to whoever shared the code, for good; again by the same inviter is alike.

    Raises ShareNotFound, OwnInvitation, AlreadyInvited (also where one of the member's identities
    was invited under another account), NotANewcomer, InvitationRing, TooManyInvitations,
    MemberNotFound, MemberNotActive.
    """
    if not (await place_of(tx, member_id)).active:
        raise MemberNotActive()
    found = await tx.session.scalar(select(Share).where(Share.code == code.strip().upper()))
    if found is None:
        raise ShareNotFound()
    await tx.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ACCEPT_LOCK})
    inviter_id = await heir_of(tx, found.member_id)
    if inviter_id == member_id:
        raise OwnInvitation()
    earlier = await tx.session.get(Invitation, member_id, populate_existing=True)
    if earlier is not None:
        if earlier.inviter_id != inviter_id:
            raise AlreadyInvited()
        return earlier
    await _require_welcome(tx, member_id, inviter_id)
    await _remember_identities(tx, member_id)
    row = Invitation(
        member_id=member_id,
        inviter_id=inviter_id,
        share_id=found.id,
        state=InvitationState.ACCEPTED,
        accepted_at=tx.now,
        points=0,
    )
    tx.session.add(row)
    _tell(tx, row)
    return row


async def follow_invitation(tx: Tx, *, member_id: UUID) -> None:
    """Bring a member's invitation up to what is known of their orders; again it changes nothing.

    Their first order that was paid after the invitation and settles brings the inviter points at
    once. They are taken back when that order is cancelled, or refunded in full before its refund
    window closes; then it counts as if it had never been, and the next one that settles brings
    them.
    """
    member_id = await heir_of(tx, member_id)
    row = await tx.session.get(Invitation, member_id, with_for_update=True, populate_existing=True)
    if row is None or row.state is InvitationState.VOID:
        return
    if row.order_id is not None:
        order = await tx.session.scalar(_order(member_id).where(Order.id == row.order_id))
        if order is not None and is_taken_back(_facts(order), order.refunded_at):
            await _take_back(tx, row, InvitationState.ACCEPTED)
    if row.state is InvitationState.ACCEPTED:
        order = await tx.session.scalar(_first_settled(row))
        if order is not None:
            await _reward(tx, row, order.id)


async def merge_invitations(tx: Tx, giver: UUID, taker: UUID) -> None:
    """Make two members' invitations one person's, before their accounts are merged.

    Who turns out to have invited themselves, or to be invited twice, has that invitation voided
    and what it brought taken back; the survivor's own invitation is the one that stays.
    """
    given = {"giver": giver, "taker": taker}
    await tx.session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ACCEPT_LOCK})
    rows = await tx.session.scalars(
        select(Invitation)
        .where(Invitation.member_id.in_([giver, taker]))
        .order_by(Invitation.member_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    own = {row.member_id: row for row in rows}
    invited, kept = own.get(giver), own.get(taker)
    if kept is not None and kept.inviter_id == giver:
        await _take_back(tx, kept, InvitationState.VOID)
    if invited is not None and (
        kept is not None or taker in await invited_by(tx, invited.inviter_id)
    ):
        await _take_back(tx, invited, InvitationState.VOID)
    await tx.session.flush()
    for statement in _MERGE:
        await tx.session.execute(statement, given)


_MERGE = (
    text("""
UPDATE invitation SET inviter_id = :taker WHERE inviter_id = :giver AND member_id <> :taker
"""),
    text("""
UPDATE invitation SET member_id = :taker WHERE member_id = :giver AND state <> 'VOID'
"""),
    text("UPDATE invited_identity SET member_id = :taker WHERE member_id = :giver"),
    text("""
UPDATE share s SET member_id = :taker
WHERE s.member_id = :giver AND NOT EXISTS (
    SELECT FROM share o WHERE o.member_id = :taker AND o.target_kind = s.target_kind
        AND o.target = s.target)
"""),
)


async def _require_welcome(tx: Tx, member_id: UUID, inviter_id: UUID) -> None:
    inviter = await place_of(tx, inviter_id)
    if not inviter.active:
        raise ShareNotFound()
    bought = select(Order.id).where(Order.member_id == member_id, orders.counts()).limit(1)
    if await tx.session.scalar(bought) is not None:
        raise NotANewcomer()
    if member_id in await invited_by(tx, inviter_id):
        raise InvitationRing()
    limit = sharing_settings(inviter.settings).per_month
    accepted = await accepted_since(tx, inviter_id, first_of_month(inviter, tx.now))
    if accepted >= limit:
        raise TooManyInvitations(limit=limit)


async def _remember_identities(tx: Tx, member_id: UUID) -> None:
    """One invitation a person, whatever accounts they come by. Raises AlreadyInvited."""
    own = (
        (
            await tx.session.execute(
                select(Identity.member_id, Identity.kind, Identity.app, Identity.blind)
                .where(Identity.member_id == member_id)
                .order_by(Identity.kind, Identity.app, Identity.blind)
            )
        )
        .mappings()
        .all()
    )
    if not own:
        return
    new = insert(InvitedIdentity).values([dict(row) for row in own]).on_conflict_do_nothing()
    made = await tx.session.scalars(new.returning(InvitedIdentity.blind))
    if len(made.all()) < len(own):
        raise AlreadyInvited()


def _order(member_id: UUID) -> "Select[Order]":
    query = select(Order).where(Order.member_id == member_id)
    return query.execution_options(populate_existing=True)


def _first_settled(row: Invitation) -> "Select[Order]":
    return (
        _order(row.member_id)
        .where(orders.counts(), Order.paid_at >= row.accepted_at, Order.settled_at.is_not(None))
        .order_by(Order.settled_at, Order.id)
        .limit(1)
    )


def _facts(order: Order) -> OrderFacts:
    return OrderFacts(
        order_id=order.id,
        member_id=order.member_id,
        total_fen=order.total_fen,
        paid_at=order.paid_at or order.placed_at,
        settled_at=order.settled_at,
        refunded_fen=order.refunded_fen,
        cancelled=order.cancelled_at is not None,
    )


async def _reward(tx: Tx, row: Invitation, order_id: UUID) -> None:
    inviter = await place_of(tx, row.inviter_id)
    amount = sharing_settings(inviter.settings).points
    if not inviter.active or amount < 1:
        return
    await earn(
        tx,
        member_id=row.inviter_id,
        amount=amount,
        source=Source.SHARING,
        rule=SHARING_RULE,
        subject=str(order_id),
    )
    row.state, row.order_id, row.points = InvitationState.REWARDED, order_id, amount
    _tell(tx, row)


async def _take_back(tx: Tx, row: Invitation, state: InvitationState) -> None:
    if row.order_id is not None:
        await reverse(
            tx,
            member_id=row.inviter_id,
            rule=SHARING_RULE,
            subject=str(row.order_id),
            reason="invited order taken back",
        )
    row.state, row.order_id, row.points = state, None, 0
    _tell(tx, row)


def _tell(tx: Tx, row: Invitation) -> None:
    tx.emit(
        InvitationChanged(
            inviter_id=row.inviter_id,
            member_id=row.member_id,
            state=row.state.value,
            points=row.points,
        )
    )
