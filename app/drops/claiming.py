"""Claiming from a drop: the one place where its stock goes down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from app import coupons
from app.drops.commands import announce, locked_drop, mark_open
from app.drops.errors import AlreadyClaimed, NotInAudience, NotOpen, NotYetYours, SoldOut
from app.drops.events import DropClaimed, DropSoldOut
from app.drops.queries import guests_of, ranks_by_member, windows_by_drop
from app.drops.rules import COMMAND, Window, early_at, next_chance, takes_claims
from app.drops.tables import Claim, Drop, DropState
from app.kernel.db import Tx
from app.kernel.errors import Refusal
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.members import Member, MemberNotActive, MemberStatus
from app.members import by_id as members_by_id

# Who has an identity under which this drop was claimed from already, by whatever account.
_KNOWN = text(
    """
    SELECT DISTINCT o.member_id FROM identity AS o
    JOIN drop_identity AS k USING (kind, app, blind)
    WHERE k.drop_id = :drop_id AND o.member_id = ANY(CAST(:members AS uuid[]))
    """
)
_KNOW = text(
    """
    INSERT INTO drop_identity (drop_id, kind, app, blind)
    SELECT :drop_id, kind, app, blind FROM identity
    WHERE member_id = ANY(CAST(:members AS uuid[]))
    """
)


async def claim(tx: Tx, *, drop_id: UUID, member_id: UUID) -> Claim:
    """Give the member one coupon of the drop.

    Raises DropNotFound, NotOpen, AlreadyClaimed, SoldOut, NotInAudience, NotYetYours,
    MemberNotActive or coupons.CouponLimitReached.
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
    asked = list(dict.fromkeys(member_ids))
    door = await _door(tx, drop, asked)
    refused = {member_id: door.refusal(member_id) for member_id in asked}
    verdicts: dict[UUID, Claim | Refusal] = {
        member_id: refusal for member_id, refusal in refused.items() if refusal is not None
    }
    turn = [member_id for member_id in asked if member_id not in verdicts]
    if turn:
        await _serve(tx, door, turn, verdicts)
    return verdicts


@dataclass(frozen=True, slots=True)
class _Door:
    """What decides who may claim, read once for everyone who asks."""

    drop: Drop
    at: datetime
    windows: Sequence[Window]
    members: Mapping[UUID, Member]
    claimed: set[UUID]
    ranks: Mapping[UUID, int]
    guests: Mapping[tuple[UUID, UUID], bool]

    def refusal(self, member_id: UUID) -> Refusal | None:
        """Why the member cannot claim; None if they can."""
        drop, member = self.drop, self.members.get(member_id)
        if member is None or member.status is not MemberStatus.ACTIVE:
            return MemberNotActive()
        if member_id in self.claimed:
            return AlreadyClaimed()
        if drop.state is DropState.SOLD_OUT:
            return SoldOut()
        early = self.at < drop.opens_at and drop.early_opens_at is not None
        if not takes_claims(drop, max(self.at, drop.opens_at) if early else self.at):
            return NotOpen()
        if not self._invited(member):
            return NotInAudience()
        return self.early_refusal(member_id) if early else None

    def early_refusal(self, member_id: UUID, *, gone: bool = False) -> Refusal | None:
        """Before the opening: why the member has to wait; `gone` is what was set apart so far."""
        rank, opens_at = self.ranks[member_id], self.drop.opens_at
        early = early_at(self.windows, self.at)
        if early is None or rank < early.rank or gone:
            return NotYetYours(at=next_chance(opens_at, self.windows, rank, self.at))
        return None

    def _invited(self, member: Member) -> bool:
        drop = self.drop
        return (
            drop.community_id in (None, member.community_id)
            and (drop.min_rank is None or self.ranks[member.id] >= drop.min_rank)
            and (not drop.guests_only or (member.id, drop.id) in self.guests)
        )

    @property
    def stock(self) -> int:
        """How many may be claimed at this instant."""
        if self.at >= self.drop.opens_at:
            return self.drop.remaining
        early = early_at(self.windows, self.at)
        return 0 if early is None else max(0, early.stock - self.drop.claimed)


async def _door(tx: Tx, drop: Drop, asked: Sequence[UUID]) -> _Door:
    earlier = await tx.session.scalars(
        select(Claim.member_id).where(Claim.drop_id == drop.id, Claim.member_id.in_(asked))
    )
    known = await tx.session.scalars(_KNOWN, {"drop_id": drop.id, "members": list(asked)})
    return _Door(
        drop=drop,
        at=tx.now,
        windows=(await windows_by_drop(tx, [drop.id])).get(drop.id, ()),
        members=await members_by_id(tx, asked),
        claimed={*earlier, *known},
        ranks=await ranks_by_member(tx, asked),
        guests=await guests_of(tx, [(one, drop.id) for one in asked]),
    )


async def _serve(
    tx: Tx, door: _Door, turn: list[UUID], verdicts: dict[UUID, Claim | Refusal]
) -> None:
    drop = door.drop
    try:
        grants = await coupons.grant_set_aside(
            tx,
            batch_id=drop.batch_id,
            member_ids=turn,
            at_most=door.stock,
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
    early = tx.now < drop.opens_at
    for member_id in grants.unserved:
        waits = door.early_refusal(member_id, gone=True) if early else None
        verdicts[member_id] = waits or SoldOut()
    if claims:
        tx.session.add_all(claims.values())
        _count(tx, drop, len(claims))
        await tx.session.flush()
        await tx.session.execute(_KNOW, {"drop_id": drop.id, "members": sorted(claims)})


def _count(tx: Tx, drop: Drop, taken: int) -> None:
    if drop.state is DropState.SCHEDULED and drop.opens_at <= tx.now:
        # Its hour has come and nobody has opened it yet.
        mark_open(tx, drop)
    drop.claimed += taken
    if drop.remaining:
        announce(tx, drop, DropClaimed)
    else:
        drop.state = DropState.SOLD_OUT
        announce(tx, drop, DropSoldOut)
