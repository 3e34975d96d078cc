"""Claiming from a drop: the one place where its stock goes down."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from app import coupons
from app.drops.commands import announce, locked_drop, mark_open
from app.drops.errors import AlreadyClaimed, NotInAudience, NotOpen, SoldOut
from app.drops.events import DropClaimed, DropSoldOut
from app.drops.rules import COMMAND, takes_claims
from app.drops.tables import Claim, Drop, DropState
from app.kernel.db import Tx
from app.kernel.errors import Refusal
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.members import Member, MemberNotActive, MemberStatus
from app.members import by_id as members_by_id


async def claim(tx: Tx, *, drop_id: UUID, member_id: UUID) -> Claim:
    """Give the member one coupon of the drop.

    Raises DropNotFound, NotOpen, AlreadyClaimed, SoldOut, NotInAudience, MemberNotActive or
    coupons.CouponLimitReached.
    """
    verdict = (await claim_all(tx, drop_id=drop_id, member_ids=[member_id]))[member_id]
    if isinstance(verdict, Refusal):
        raise verdict
    return verdict


async def claim_once(
    tx: Tx, *, drop_id: UUID, member_id: UUID, key: str | None, given: Mapping[str, object]
) -> Json:
    """`claim` under an idempotency key: answers `{"coupon": id, "at": instant}`, once for a key.

    The plain way, in the same order of locks as `Claims`, which does this for many at once: the
    drop, then the key. Raises IdempotencyKeyReused, InvalidInput and what `claim` refuses.
    """
    await tx.session.execute(
        select(Drop.id).where(Drop.id == drop_id).with_for_update(key_share=True)
    )

    async def work() -> Json:
        made = await claim(tx, drop_id=drop_id, member_id=member_id)
        return {"coupon": str(made.coupon_id), "at": made.claimed_at.isoformat()}

    return await once(tx, owner_id=member_id, command=COMMAND, key=key, given=given, work=work)


async def claim_all(
    tx: Tx, *, drop_id: UUID, member_ids: Sequence[UUID]
) -> Mapping[UUID, Claim | Refusal]:
    """Give each member one coupon of the drop, first come first served, in the order given.

    The drop's row is locked once however many members there are, and the number of statements does
    not depend on it: claims that wait can be brought together. Everything that is granted commits
    with this transaction. Raises DropNotFound; other refusals are answered member by member.
    """
    drop = await locked_drop(tx, drop_id)
    verdicts: dict[UUID, Claim | Refusal] = {}
    turn = await _admit(tx, drop, member_ids, verdicts)
    if turn:
        await _serve(tx, drop, turn, verdicts)
    return verdicts


async def _admit(
    tx: Tx, drop: Drop, member_ids: Sequence[UUID], verdicts: dict[UUID, Claim | Refusal]
) -> list[UUID]:
    """Who may claim; the others get their verdict here."""
    asked = list(dict.fromkeys(member_ids))
    earlier = await tx.session.scalars(
        select(Claim.member_id).where(Claim.drop_id == drop.id, Claim.member_id.in_(asked))
    )
    claimed = set(earlier)
    known = await members_by_id(tx, asked)
    turn: list[UUID] = []
    for member_id in asked:
        refusal = _refusal(tx, drop, known.get(member_id), member_id in claimed)
        if refusal is None:
            turn.append(member_id)
        else:
            verdicts[member_id] = refusal
    return turn


def _refusal(tx: Tx, drop: Drop, member: Member | None, claimed: bool) -> Refusal | None:
    if member is None or member.status is not MemberStatus.ACTIVE:
        return MemberNotActive()
    if claimed:
        return AlreadyClaimed()
    if drop.state is DropState.SOLD_OUT:
        return SoldOut()
    if not takes_claims(drop, tx.now):
        return NotOpen()
    if drop.community_id not in (None, member.community_id):
        return NotInAudience()
    return None


async def _serve(
    tx: Tx, drop: Drop, turn: list[UUID], verdicts: dict[UUID, Claim | Refusal]
) -> None:
    try:
        grants = await coupons.grant_set_aside(
            tx,
            batch_id=drop.batch_id,
            member_ids=turn,
            at_most=drop.remaining,
            source=coupons.Source.DROP,
            source_id=drop.id,
        )
    except (coupons.BatchNotActive, coupons.ValidityOver):
        verdicts |= {member_id: NotOpen() for member_id in turn}
        return
    claims = {
        member_id: Claim(
            member_id=member_id, drop_id=drop.id, coupon_id=coupon_id, claimed_at=tx.now
        )
        for member_id, coupon_id in grants.granted.items()
    }
    verdicts |= claims
    verdicts |= {member_id: coupons.CouponLimitReached() for member_id in grants.at_limit}
    verdicts |= {member_id: MemberNotActive() for member_id in grants.not_active}
    verdicts |= {member_id: SoldOut() for member_id in grants.unserved}
    if claims:
        tx.session.add_all(claims.values())
        _count(tx, drop, len(claims))
        await tx.session.flush()


def _count(tx: Tx, drop: Drop, taken: int) -> None:
    if drop.state is DropState.SCHEDULED:
        # Its hour has come and nobody has opened it yet.
        mark_open(tx, drop)
    drop.claimed += taken
    if drop.remaining:
        announce(tx, drop, DropClaimed)
    else:
        drop.state = DropState.SOLD_OUT
        announce(tx, drop, DropSoldOut)
