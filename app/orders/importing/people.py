"""The customers of a file: found by their card, or made members."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app import members
from app.kernel.crypto import Vault
from app.kernel.db import Tx

_KIND = members.IdentityKind.STORE_CARD

# One statement: a member is stored only if their card was not claimed meanwhile.
_JOIN = text(
    """
    WITH person AS (
      SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:blinds AS text[]), CAST(:sealed AS text[]),
        CAST(:nicknames AS text[]), CAST(:communities AS uuid[]), CAST(:since AS timestamptz[])
      ) AS p (id, blind, sealed, nickname, community_id, since)
    ), card AS (
      INSERT INTO identity (kind, app, blind, sealed, member_id, linked_at, index_kid)
      SELECT :kind, :app, blind, sealed, id, :now, :index_kid FROM person ORDER BY blind
      ON CONFLICT DO NOTHING
      RETURNING member_id
    )
    INSERT INTO member (id, community_id, nickname, status, locale, registered_at)
    SELECT id, community_id, nickname, 'ACTIVE', 'zh-CN', since
    FROM person JOIN card ON card.member_id = person.id
    """
)


_COMMUNITIES = text("SELECT name, id FROM community WHERE name = ANY(CAST(:names AS text[]))")


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What a customer becomes if they are not a member yet."""

    nickname: str
    community_id: UUID
    since: datetime


async def recognise_cards(
    tx: Tx, *, vault: Vault, app: str, cards: Mapping[str, Newcomer]
) -> tuple[dict[str, UUID], int]:
    """Member ids by customer number, and how many of them are new.

    Who has no card of this system yet becomes a member, of which no fact is announced: history
    sets off nothing.
    """
    found = await members.by_identities(tx, vault=vault, kind=_KIND, app=app, values=cards)
    fresh = {vault.blind(_KIND, value): value for value in cards if value not in found}
    if fresh:
        people = [cards[value] for value in fresh.values()]
        await tx.session.execute(
            _JOIN,
            {
                "kind": _KIND,
                "app": app,
                "now": tx.now,
                "index_kid": vault.index_kid,
                "ids": [tx.new_id() for _ in people],
                "blinds": list(fresh),
                "sealed": [vault.seal(_KIND, value) for value in fresh.values()],
                "nicknames": [person.nickname for person in people],
                "communities": [person.community_id for person in people],
                "since": [person.since for person in people],
            },
        )
        found |= await members.by_identities(
            tx, vault=vault, kind=_KIND, app=app, values=fresh.values()
        )
    return found, len(fresh)


async def open_communities(tx: Tx, names: set[str], *, time_zone: str) -> dict[str, UUID]:
    """Community ids by name; those that do not exist yet are opened."""
    rows = await tx.session.execute(_COMMUNITIES, {"names": list(names)})
    found = {row.name: row.id for row in rows}
    for name in sorted(names - set(found)):
        community = await members.create_community(tx, name=name, time_zone=time_zone)
        found[name] = community.id
    return found
