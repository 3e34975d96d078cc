"""Mutations as most of them are: who acts, and work that is done once for its idempotency key."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from uuid import UUID

from strawberry import ID

from app.kernel.auth import Anonymous, MemberCaller, Role, StaffCaller
from app.kernel.db import Tx
from app.kernel.errors import NotAllowed, NotSignedIn
from app.kernel.idempotency import once
from app.kernel.table import Json
from app.staff import PRODUCT, Subject
from schema.context import Info, current_action
from schema.fields import shown
from schema.nodes import global_id


class Keyed(Protocol):
    """The input of a mutation that may be sent again."""

    idempotency_key: str


class MaybeKeyed(Protocol):
    """The input of a mutation that may be sent with a key."""

    idempotency_key: str | None


def acting_member(info: Info) -> UUID:
    """The signed-in member. Raises NotSignedIn."""
    caller = info.context.caller
    if not isinstance(caller, MemberCaller):
        raise NotSignedIn()
    return caller.id


def acting_staff(info: Info) -> UUID:
    """The staff account that acts. Raises NotAllowed."""
    caller = info.context.caller
    if not isinstance(caller, StaffCaller):
        raise NotAllowed()
    return caller.id


def author_of(account_id: UUID | None) -> ID | None:
    """The id of the staff account that wrote something; None for what the product brought."""
    if account_id is None or account_id == PRODUCT:
        return None
    return global_id("StaffAccount", account_id)


def may_approve_alone(info: Info) -> bool:
    """Whether the caller may approve the batches and playbooks that they drafted themselves."""
    caller = info.context.caller
    owns = isinstance(caller, StaffCaller) and caller.role is Role.OWNER
    return owns and info.context.settings.may_approve_alone


async def answered(
    info: Info,
    input: Keyed | MaybeKeyed,
    work: Callable[[Tx], Awaitable[Json]],
    *,
    about: Subject | None = None,
    given: Mapping[str, object] | None = None,
) -> Json:
    """Do a mutation's work in a transaction of its own, once for the caller and the input's key.

    Sent again with its key it has the first answer; without a key the work is simply done. `about`
    is the row that the audit log follows; `given` takes the input's place in what tells two inputs
    apart. Raises NotSignedIn, IdempotencyKeyReused, InvalidInput and what the work refuses.
    """
    caller, action = info.context.caller, current_action.get()
    if isinstance(caller, Anonymous):
        raise NotSignedIn()
    if action is None:
        raise LookupError("no mutation is under way")
    async with info.context.begin(about=about) as tx:
        return await once(
            tx,
            owner_id=caller.id,
            command=action.name,
            key=input.idempotency_key,
            given=shown(input) if given is None else given,
            work=lambda: work(tx),
        )
