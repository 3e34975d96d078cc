"""Who may sign in to the demo: staff, a partner system, and its most eventful member.

The passwords and the key are written here for everybody to read, so they exist in development only.
"""

from uuid import UUID

from app import staff
from app.kernel.auth import Role, Scope, hash_password
from app.kernel.db import Database, Tx
from cli.demo.accounts import ACCOUNTS, PARTNER_KEY


async def open_accounts(database: Database) -> None:
    """Make the accounts and the partner key that are not there; a changed password stays."""
    async with database.read() as read:
        missing = [account for account in ACCOUNTS if not await staff.by_login(read, account.login)]
        known = await staff.partner_by_key(read, PARTNER_KEY)
    for account in missing:
        hashed = await hash_password(account.password)
        async with database.begin() as tx:
            try:
                await staff.create_account(
                    tx,
                    login=account.login,
                    name=account.name,
                    role=Role(account.role),
                    password_hash=hashed,
                )
            except staff.LoginTaken:
                # Disabled by somebody: it stays so.
                continue
    if known is None:
        async with database.begin() as tx:
            scopes = [Scope.ORDERS_WRITE, Scope.EVENTS_WRITE]
            await staff.create_api_key(tx, name="演示·合作系统", scopes=scopes, key=PARTNER_KEY)


async def owner_of(tx: Tx) -> UUID | None:
    """The demo's owner, in whose name things are set up; None if disabled."""
    account = await staff.by_login(tx, ACCOUNTS[0].login)
    return None if account is None else account.id
