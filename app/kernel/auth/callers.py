"""The kinds of caller. Access rules are decided on these plain values."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """What a staff account is for."""

    OWNER = "OWNER"
    CAMPAIGN_MANAGER = "CAMPAIGN_MANAGER"
    SUPPORT = "SUPPORT"
    ANALYST = "ANALYST"
    LEADER = "LEADER"


class Scope(StrEnum):
    """What a partner system's API key may do."""

    ORDERS_WRITE = "orders:write"
    EVENTS_WRITE = "events:write"
    # Uses of the benefits that the partner of the key's name gives.
    BENEFITS_USE = "benefits:use"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Nobody has signed in."""


@dataclass(frozen=True, slots=True)
class MemberCaller:
    """A member by one of their sessions."""

    id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class StaffCaller:
    """A staff account by one of its sessions; a LEADER's is for one community."""

    id: UUID
    session_id: UUID
    role: Role
    community_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PartnerCaller:
    """A partner system by its API key."""

    id: UUID
    scopes: frozenset[Scope]


Caller = Anonymous | MemberCaller | StaffCaller | PartnerCaller
ANONYMOUS = Anonymous()
