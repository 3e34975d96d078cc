"""Who may see a field: each root field states one of these rules."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.kernel.auth import Anonymous, Caller, MemberCaller, PartnerCaller, Role, Scope, StaffCaller
from app.kernel.errors import NotAllowed, NotSignedIn


@dataclass(frozen=True, slots=True)
class Allow:
    """A rule over callers, with the sentence that the schema's reader sees."""

    says: str
    test: Callable[[Caller], bool]

    def require(self, caller: Caller) -> None:
        """Raise NotSignedIn or NotAllowed unless the caller passes."""
        if not self.test(caller):
            raise NotSignedIn() if isinstance(caller, Anonymous) else NotAllowed()

    def __or__(self, other: "Allow") -> "Allow":
        """Either rule."""
        return Allow(
            f"{self.says} or {other.says}",
            lambda caller: self.test(caller) or other.test(caller),
        )


def staff(*roles: Role) -> Allow:
    """Staff of one of these roles; an OWNER may do everything. Without roles, any staff."""
    allowed = {*roles, Role.OWNER} if roles else set(Role)
    names = ", ".join(sorted(role.value for role in allowed)) if roles else "any role"
    return Allow(
        f"staff ({names})",
        lambda caller: isinstance(caller, StaffCaller) and caller.role in allowed,
    )


def partner(scope: Scope) -> Allow:
    """A partner system whose key has the scope."""
    return Allow(
        f"partner ({scope.value})",
        lambda caller: isinstance(caller, PartnerCaller) and scope in caller.scopes,
    )


PUBLIC = Allow("everyone", lambda _: True)
MEMBER = Allow("members", lambda caller: isinstance(caller, MemberCaller))
STAFF = staff()
# Staff who see the whole platform; a LEADER sees one community of it.
OFFICE = staff(Role.CAMPAIGN_MANAGER, Role.SUPPORT, Role.ANALYST)
# Partners are systems: they do what their scopes say, and see nothing.
SIGNED_IN = Allow(
    "members and staff", lambda caller: isinstance(caller, MemberCaller | StaffCaller)
)


# No community has this key: the one of a leader who was given none.
NOWHERE = UUID(int=0)


def bound_to(caller: Caller) -> UUID | None:
    """The one community that a LEADER's account sees; None for everybody else."""
    if isinstance(caller, StaffCaller) and caller.role is Role.LEADER:
        return caller.community_id or NOWHERE
    return None


def sees_member(caller: Caller, member_id: UUID, community_id: UUID) -> bool:
    """True for the member themselves, for staff, and for the leader of the member's community."""
    if isinstance(caller, MemberCaller):
        return caller.id == member_id
    return isinstance(caller, StaffCaller) and bound_to(caller) in (None, community_id)
