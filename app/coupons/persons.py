"""Limits that hold for a person, under whatever accounts they come."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import insert, select, text

from app.coupons.tables import PersonLimit, Template
from app.kernel.db import Tx
from app.kernel.sets import lock_name
from app.members import Identity, IdentityKind

_COUNTS = text(
    """
    SELECT person, max(nth), array_agg(DISTINCT coupon_id) FROM coupon_person
    WHERE template_id = :template_id AND person = ANY(CAST(:persons AS text[])) GROUP BY person
    """
)


class Persons:
    """Who the members of one grant are, and what of the template they have had."""

    def __init__(self, template: Template, of_member: Mapping[UUID, set[str]]) -> None:
        """Nobody has anything yet."""
        self._template = template
        self._of_member = of_member
        self._had: dict[str, set[UUID]] = defaultdict(set)
        self._nth: dict[str, int] = defaultdict(int)

    @property
    def names(self) -> list[str]:
        """All persons."""
        return sorted(set[str]().union(*self._of_member.values()))

    def know(self, person: str, nth: int, coupon_ids: Sequence[UUID]) -> None:
        """What a person has had."""
        self._nth[person] = nth
        self._had[person].update(coupon_ids)

    def fitting(self, member_ids: Sequence[UUID]) -> list[UUID]:
        """Of these members, in their order, those who may each have one more."""
        fit: list[UUID] = []
        taken: Counter[str] = Counter()
        for member_id in member_ids:
            names = self._of_member.get(member_id, set[str]())
            had = set[UUID]().union(*(self._had[name] for name in names))
            now = max((taken[name] for name in names), default=0)
            if len(had) + now < (self._template.per_identity or len(had) + now + 1):
                fit.append(member_id)
                taken.update(names)
        return fit

    def note(self, member_id: UUID, coupon_id: UUID) -> list[dict[str, object]]:
        """The rows that say a member got a coupon."""
        rows: list[dict[str, object]] = []
        for person in sorted(self._of_member.get(member_id, ())):
            self._nth[person] += 1
            self._had[person].add(coupon_id)
            rows.append(
                {
                    "template_id": self._template.id,
                    "person": person,
                    "nth": self._nth[person],
                    "coupon_id": coupon_id,
                }
            )
        return rows


async def persons_of(tx: Tx, template: Template, member_ids: Sequence[UUID]) -> Persons:
    """The persons behind members; other grants of the template wait for this one's end.

    A phone or WeChat id is one person's, in whatever app; a card is that of its own system.
    """
    await lock_name(tx, f"persons of coupon template {template.id}")
    rows = await tx.session.execute(
        select(Identity.member_id, Identity.kind, Identity.app, Identity.blind).where(
            Identity.member_id.in_(member_ids)
        )
    )
    found: dict[UUID, set[str]] = defaultdict(set)
    for member_id, kind, app, blind in rows:
        issuer = app if kind is IdentityKind.STORE_CARD else ""
        found[member_id].add(f"{kind.value}:{issuer}:{blind}")
    persons = Persons(template, found)
    known = await tx.session.execute(
        _COUNTS, {"template_id": template.id, "persons": persons.names}
    )
    for person, nth, coupon_ids in known:
        persons.know(person, nth, coupon_ids)
    return persons


async def note_persons(tx: Tx, persons: Persons, granted: Mapping[UUID, UUID]) -> None:
    """Write down which persons got coupons: member -> coupon."""
    rows = [row for member, coupon in granted.items() for row in persons.note(member, coupon)]
    if rows:
        await tx.session.execute(insert(PersonLimit), rows)
