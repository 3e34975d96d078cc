"""Proving that one has a phone or a WeChat account, outside of signing in."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app import members
from app.kernel.auth import Anonymous
from app.kernel.crypto import Vault
from app.kernel.db import Tx
from app.kernel.errors import NotSignedIn
from app.kernel.idempotency import answer_of
from app.kernel.table import Json
from app.wechat import WeChatRefused, WeChatUnavailable
from schema.acting import Keyed, MaybeKeyed, answered
from schema.brakes import Attempt, attempt, owner_came, phone_of
from schema.context import Info, current_action

# How long a refused double looks for the one that was not, in seconds.
PAUSES = (0.0, 0.05, 0.25)


@dataclass(frozen=True, slots=True)
class Proof:
    """An identity that whoever calls has just proved to be theirs."""

    kind: members.IdentityKind
    app: str
    value: str
    counted: Attempt
    phone: str | None = None

    async def held(self, tx: Tx, vault: Vault) -> members.Identity | None:
        """The stored identity, if some member has it."""
        return await members.identity_of(
            tx, vault=vault, kind=self.kind, app=self.app, value=self.value
        )

    async def used(self, tx: Tx) -> None:
        """It was no guess: let go of the brakes in the transaction that acts on it."""
        await self.counted.succeeded(tx)
        if self.phone is not None:
            await owner_came(tx, self.phone)


async def proved(
    info: Info,
    input: Keyed | MaybeKeyed,
    prove: Callable[[], Awaitable[Proof]],
    work: Callable[[Tx, Proof], Awaitable[Json]],
    *,
    given: Mapping[str, str | None],
) -> Json:
    """Prove an identity and do the work with it, once for the input's key.

    A code works once: sent again with its key, the first answer comes without another proof.
    `given` are what the caller has said, as keyed fingerprints: codes are short, and a plain
    digest would tell them. Raises what the proof and the work refuse.
    """
    caller, action = info.context.caller, current_action.get()
    if isinstance(caller, Anonymous):
        raise NotSignedIn()
    if action is None:
        raise LookupError("no mutation is under way")
    vault = info.context.vault
    said = {name: text and vault.blind(name, text) for name, text in given.items()}

    async def earlier() -> Json | None:
        async with info.context.read() as read:
            return await answer_of(
                read,
                owner_id=caller.id,
                command=action.name,
                key=input.idempotency_key,
                given=said,
            )

    answer = await earlier()
    if answer is not None:
        return answer
    try:
        proof = await prove()
    except (members.CodeRefused, WeChatRefused) as refusal:
        if input.idempotency_key is None:
            raise
        return await _of_double(info, input, said, refusal)
    return await answered(info, input, lambda tx: work(tx, proof), given=said)


async def _of_double(
    info: Info,
    input: Keyed | MaybeKeyed,
    said: Mapping[str, str | None],
    refusal: members.CodeRefused | WeChatRefused,
) -> Json:
    """The answer of a double that has used the code up just now; else the refusal is raised.

    A double that is at work holds the key's row, and is waited for. One that has yet to begin its
    work after its proof does so within moments: it is looked for once more.
    """

    async def refuse(tx: Tx) -> Json:
        raise refusal

    for pause in PAUSES:
        await asyncio.sleep(pause)
        try:
            return await answered(info, input, refuse, given=said)
        except type(refusal):
            continue
    raise refusal


async def prove_phone(info: Info, phone: str, code: str) -> Proof:
    """Use up a one-time code of a phone.

    Raises BadPhoneNumber, CodeRefused, TooManyAttempts.
    """
    vault = info.context.vault
    name = phone_of(vault, phone)
    counted = await attempt(info, name)
    # Committed by itself, so that a wrong guess is always counted; the audit log gets no line.
    async with info.context.database.begin() as tx:
        good = await members.try_phone_code(tx, vault=vault, phone=phone, code=code)
    if not good:
        raise members.CodeRefused()
    number = members.normal_phone(phone) or ""
    return Proof(members.IdentityKind.PHONE, "", number, counted, name)


async def prove_wechat(info: Info, code: str) -> Proof:
    """Exchange a code of wx.login().

    Raises WeChatRefused, WeChatUnavailable, TooManyAttempts.
    """
    wechat = info.context.resources.wechat
    counted = await attempt(info, None)
    try:
        found = await wechat.code_to_session(code)
    except WeChatUnavailable:
        async with info.context.database.begin() as tx:
            await counted.succeeded(tx)
        raise
    return Proof(members.IdentityKind.WECHAT_OPENID, wechat.app_id, found.openid, counted)
