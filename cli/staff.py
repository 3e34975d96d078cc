"""`linli staff`: accounts of the people who run the platform, and keys of partner systems."""

import asyncio
import json as json_text
import secrets
from typing import Annotated

import typer

from app import members, staff
from app.kernel.auth import Role, Scope, hash_password
from app.kernel.config import Settings
from app.kernel.db import Tx
from app.kernel.errors import Refusal
from app.kernel.table import Json
from cli.session import open_database, open_stores
from cli.starting import SAYS

staff_app = typer.Typer(no_args_is_help=True, help="Staff accounts and partner keys.")


@staff_app.command()
def create(
    login: Annotated[str, typer.Argument(help="The name to sign in by.")],
    role: Annotated[Role, typer.Option(help="What the account is for.")] = Role.OWNER,
    name: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="LINLI_STAFF_PASSWORD",
            help="At least 12 characters; made up and shown once when not given.",
        ),
    ] = None,
    community: Annotated[
        str | None, typer.Option(help="The name of a LEADER's community, whose members they see.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a staff account."""
    chosen = password or secrets.token_urlsafe(12)
    try:
        staff.check_password(chosen)
        with open_stores("linli staff create") as settings:
            asyncio.run(_create(settings, login, name or login, role, chosen, community))
    except Refusal as refusal:
        SAYS.print(f"{refusal.message('en')} {refusal.message('zh-CN')}", style="red")
        raise typer.Exit(1) from None
    shown = None if password else chosen
    if json:
        print(json_text.dumps({"login": login, "role": role.value, "password": shown}))
        return
    SAYS.print(f"{login} ({role.value}) may sign in now 账号已创建.")
    if shown:
        SAYS.print("The password, shown this once 初始密码（仅显示一次）:")
        print(shown)


async def _create(
    settings: Settings, login: str, name: str, role: Role, password: str, community: str | None
) -> None:
    hashed = await hash_password(password)
    async with open_database(settings) as database, database.begin() as tx:
        home = None if community is None else await members.community_by_name(tx, community)
        await staff.create_account(
            tx,
            login=login,
            name=name,
            role=role,
            password_hash=hashed,
            community_id=home,
        )
        await _audit(tx, "createStaff", {"login": login, "role": role.value})


@staff_app.command()
def disable(login: Annotated[str, typer.Argument(help="The account's name.")]) -> None:
    """Disable a staff account and end its sessions."""

    async def run(settings: Settings) -> bool:
        async with open_database(settings) as database, database.begin() as tx:
            await _audit(tx, "disableStaff", {"login": login})
            return await staff.disable_account(tx, login=login)

    with open_stores("linli staff disable") as settings:
        found = asyncio.run(run(settings))
    if not found:
        SAYS.print(f"There is no account {login} 没有此账号", style="red")
        raise typer.Exit(1)
    SAYS.print(f"{login} is disabled and signed out 已停用")


@staff_app.command()
def key(
    name: Annotated[str, typer.Argument(help="The partner system's name.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do; repeatable. Default: all.")
    ] = None,
) -> None:
    """Create an API key for a partner system; it is shown once."""

    async def run(settings: Settings) -> str:
        async with open_database(settings) as database, database.begin() as tx:
            scopes = scope or list(Scope)
            await _audit(tx, "createKey", {"name": name, "scopes": [item.value for item in scopes]})
            return await staff.create_api_key(tx, name=name, scopes=scopes)

    with open_stores("linli staff key") as settings:
        made = asyncio.run(run(settings))
    SAYS.print("The key, shown this once 密钥（仅显示一次）:")
    print(made)


@staff_app.command()
def revoke(name: Annotated[str, typer.Argument(help="The partner system's name.")]) -> None:
    """Revoke every API key of a partner system, within seconds."""

    async def run(settings: Settings) -> int:
        async with open_database(settings) as database, database.begin() as tx:
            await _audit(tx, "revokeKey", {"name": name})
            return await staff.revoke_api_key(tx, name=name)

    with open_stores("linli staff revoke") as settings:
        ended = asyncio.run(run(settings))
    if not ended:
        SAYS.print(f"{name} has no key 没有有效密钥", style="red")
        raise typer.Exit(1)
    SAYS.print(f"Revoked {ended} key(s) of {name} 密钥已吊销")


async def _audit(tx: Tx, action: str, given: Json) -> None:
    actor = staff.Actor("operator", staff.OPERATOR)
    await staff.audit(tx, actor=actor, action=action, given=given)
