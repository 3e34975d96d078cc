"""The brakes on signing in: by account and by address, counted before anything is judged."""

from dataclasses import dataclass

from app import members
from app.kernel.auth import (
    ADDRESS,
    MESSAGES,
    MESSAGES_FROM_ADDRESS,
    brake,
    release,
    subscriber,
    take_off,
)
from app.kernel.crypto import Vault
from app.kernel.db import Tx
from schema.context import Info


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to sign in that was counted under its account and its address."""

    account: str | None
    address: str | None

    async def succeeded(self, tx: Tx) -> None:
        """Let go of the account; the address has made one guess less."""
        if self.account is not None:
            await release(tx, self.account)
        if self.address is not None:
            await take_off(tx, self.address)


async def attempt(info: Info, account: str | None) -> Attempt:
    """Count an attempt at an account (None where there is no telling which), and commit that.

    Raises TooManyAttempts.
    """
    address = subscriber(info.context.address)
    counted = Attempt(account, None if address is None else f"address:{address}")
    # Accounts are locked before addresses, always, so that no two attempts wait for each other.
    async with info.context.database.begin() as tx:
        if counted.account is not None:
            await brake(tx, counted.account)
        if counted.address is not None:
            await brake(tx, counted.address, ADDRESS)
    return counted


def phone_of(vault: Vault, text: str) -> str:
    """What the brakes call a phone.

    Raises BadPhoneNumber.
    """
    number = members.normal_phone(text)
    if number is None:
        raise members.BadPhoneNumber()
    return f"phone:{vault.blind(members.IdentityKind.PHONE, number)}"


async def ask_for_message(info: Info) -> None:
    """Count that an address asked for a message, whatever becomes of it.

    Raises TooManyAttempts.
    """
    address = subscriber(info.context.address)
    if address is not None:
        async with info.context.database.begin() as tx:
            await brake(tx, f"messages-from:{address}", MESSAGES_FROM_ADDRESS)


async def send_message(tx: Tx, phone: str) -> None:
    """Count a message to a phone in the transaction that makes it.

    Raises TooManyAttempts, and then no message may go out.
    """
    await brake(tx, f"messages-to-{phone}", MESSAGES)


async def owner_came(tx: Tx, phone: str) -> None:
    """A phone's owner has read their message: it was no nuisance."""
    await take_off(tx, f"messages-to-{phone}")
