"""Proving that one has a phone or a WeChat account, outside of signing in."""

from dataclasses import dataclass

from app import members
from app.kernel.crypto import Vault
from app.kernel.db import Tx
from app.wechat import WeChatUnavailable
from schema.brakes import Attempt, attempt, owner_came, phone_of
from schema.context import Info


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
