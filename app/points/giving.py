"""Points for many members at once."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.points.ledger import Grant, close_sheet, credit, open_sheet
from app.points.queries import places_by_member
from app.points.rules import expiry_of, expiry_rule
from app.points.tables import Currency, Source


async def earn_alike(
    tx: Tx, *, member_ids: Iterable[UUID], amount: int, source: Source, rule: str, subject: str
) -> set[UUID]:
    """Give each member the same points, active at once; answers to whom they were given now.

    Once a member for this rule and subject; unknown members get none. The number of statements
    does not depend on how many they are. Raises InvalidInput for an amount under 1.
    """
    amounts = dict.fromkeys(member_ids, amount)
    return await earn_each(tx, amounts=amounts, source=source, rule=rule, subject=subject)


async def earn_each(
    tx: Tx, *, amounts: Mapping[UUID, int], source: Source, rule: str, subject: str
) -> set[UUID]:
    """Give each member points of their own amount, as `earn_alike` gives all the same.

    All accounts are locked at once, in the order of members, so that two calls never wait for
    each other. Raises InvalidInput for an amount under 1.
    """
    if any(amount < 1 for amount in amounts.values()):
        raise InvalidInput(field="amount", reason="at least 1", reason_zh="至少为1")
    places = await places_by_member(tx, amounts)
    if not places:
        return set()
    sheet = await open_sheet(tx, Currency.POINTS, places)
    lots = {
        tx.new_id(): (
            member_id,
            expiry_of(expiry_rule(place.settings, source), tx.now, place.zone),
        )
        for member_id, place in places.items()
    }
    made = await credit(
        tx,
        sheet,
        [
            Grant(
                id=lot,
                member_id=member_id,
                source=source,
                rule=rule,
                subject=subject,
                amount=amounts[member_id],
                earned_at=tx.now,
                available_at=tx.now,
                expires_at=expires_at,
            )
            for lot, (member_id, expires_at) in lots.items()
        ],
    )
    await close_sheet(tx, sheet)
    return {lots[lot][0] for lot in made}
