"""`linli models …`: the register of churn models, promotion on evidence, and the way back."""

import asyncio
import json as json_text
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from app.kernel.config import Settings
from cli.instants import as_of_or_data_end
from cli.session import open_database, open_stores
from cli.starting import SAYS

if TYPE_CHECKING:
    from app.churn import ModelVersion
    from app.kernel.db import Database

T = TypeVar("T")
MOST = 50

models_app = typer.Typer(
    no_args_is_help=True,
    help="Churn models: which is in force, what may take its place, and the way back. 模型库",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Version = Annotated[str, typer.Argument(help="The model's version, as `linli models list` says.")]


@models_app.callback()
def root() -> None:
    """Churn models: which is in force, what may take its place, and the way back."""


@models_app.command("list")
def list_models(json: AsJson = False) -> None:
    """The newest 50 models with their roles and figures."""
    rows = _run("linli models list", lambda database, _: _all(database))
    if json:
        typer.echo(_dumped([_plain(row) for row in rows]))
        return
    table = Table(title="Churn models 流失模型")
    for heading in ("version 版本", "role 角色", "choice", "trained as of", "AUC", "Brier", "note"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row.version,
            row.role.value,
            str(row.manifest.get("choice", "–")),
            f"{row.trained_as_of:%Y-%m-%d}",
            _figure(row.metrics.get("roc_auc")),
            _figure(row.metrics.get("brier")),
            _note(row),
        )
    Console().print(table)


@models_app.command()
def show(version: Version, json: AsJson = False) -> None:
    """One model: what it learned from, how it did, and its evidence beside its rival."""
    row = _run("linli models show", lambda database, _: _of(database, version))
    if json:
        manifest = {name: part for name, part in row.manifest.items() if name != "reference"}
        typer.echo(_dumped(_plain(row) | {"manifest": manifest, "evidence": row.evidence}))
        return
    out = Console()
    about: Any = row.manifest.get("about") or {}
    out.print(f"[bold]{row.version}[/] · {row.role.value} · {_note(row) or 'whole'}")
    for name, value in (
        ("horizon, days", about.get("horizon_days")),
        ("orders, members", f"{about.get('orders')}, {about.get('members')}"),
        ("choice, correction", f"{row.manifest.get('choice')}, {about.get('correction')}"),
        ("features", len(row.manifest.get("features") or [])),
        ("program, libraries", f"{row.manifest.get('program')}, {row.manifest.get('libraries')}"),
        ("sha256", row.sha256),
    ):
        out.print(f"  {name}: {value}", highlight=False)
    show_evidence(out, row.evidence)


def show_evidence(out: Console, evidence: dict[str, Any] | None) -> None:
    """A table of a comparison, or a sentence on why there is none."""
    from app.churn import wins

    if evidence is None:
        out.print("It was not compared with another: no window was fair to both. 尚无回测比较。")
        return
    table = Table(title=f"Beside {evidence['rival']}, on windows that neither had learned from")
    for heading in ("cutoff", "members", "AUC, in force", "AUC, this", "Brier, in force", "this"):
        table.add_column(heading, justify="right")
    for one in evidence["windows"]:
        old, new = one["champion"], one["challenger"]
        table.add_row(
            one["cutoff"][:10],
            f"{one['members']:,}",
            *(_figure(part.get(name)) for name in ("roc_auc", "brier") for part in (old, new)),
        )
    out.print(table)
    for name, words in (("roc_auc", "AUC gained"), ("brier", "Brier gained")):
        gain = evidence["gain"][name]
        ends = f"{gain['low']:+.4f} to {gain['high']:+.4f}"
        out.print(f"  {words}: {gain['mean']:+.4f} (95%: {ends})", highlight=False)
    out.print("  It wins. 胜出" if wins(evidence) else "  It does not win. 未胜出")


@models_app.command()
def promote(
    version: Version,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="Judge by windows closed by this day or instant."),
    ] = None,
    change_horizon: Annotated[
        bool,
        typer.Option(
            "--change-horizon",
            help="Put a model in force that predicts another number of days: no back-test can "
            "say which is better.",
        ),
    ] = False,
) -> None:
    """Put a model in force, if it wins beside the one in force on what has closed by now."""
    row = _run(
        "linli models promote",
        lambda database, settings: _promoted(
            database, settings.time_zone, version, as_of, change_horizon
        ),
    )
    SAYS.print(f"[green]{row.version} is in force.[/] 已启用", highlight=False)
    if row.evidence is not None:
        show_evidence(Console(stderr=True), row.evidence)


@models_app.command()
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit log.")],
) -> None:
    """Take the model in force out of it and put back the one before."""
    row = _run("linli models rollback", lambda database, _: _rolled_back(database, reason))
    SAYS.print(f"[green]{row.version} is in force again.[/] 已回退", highlight=False)


@models_app.command()
def verify(json: AsJson = False) -> None:
    """Open the model in force and those it could fall back on; exit 1 if the first cannot be."""
    found = _run("linli models verify", lambda database, _: _verified(database))
    if json:
        typer.echo(_dumped([{"version": v, "role": r, "problem": p} for v, r, p in found]))
    else:
        for name, role, problem in found:
            said = f"[red]{problem}[/]" if problem else "[green]whole 完好[/]"
            SAYS.print(f"{name} · {role} · {said}", highlight=False)
        if not found:
            SAYS.print("There is no model yet. 尚无模型")
    if not found or found[0][2]:
        raise typer.Exit(1)


def _run(what: str, do: "Callable[[Database, Settings], Awaitable[T]]") -> T:
    """Do it on the installation's stores; a refusal is a sentence and exit code 1."""
    from app.kernel.errors import Refusal

    async def work(settings: Settings) -> T:
        async with open_database(settings) as database:
            return await do(database, settings)

    with open_stores(what) as settings:
        try:
            return asyncio.run(work(settings))
        except Refusal as refusal:
            SAYS.print(f"[red]Refused:[/] {refusal}", highlight=False)
            SAYS.print(refusal.message("zh-CN"), markup=False, highlight=False)
            raise typer.Exit(1) from refusal
        except ValueError as error:
            SAYS.print(f"[red]Error:[/] {error}", highlight=False)
            raise typer.Exit(2) from error


async def _all(database: "Database") -> "list[ModelVersion]":
    from app import churn

    async with database.read() as read:
        return (await churn.models_page(read, first=MOST))[:MOST]


async def _of(database: "Database", version: str) -> "ModelVersion":
    from app import churn

    async with database.read() as read:
        row = await churn.model_by_version(read, version)
    if row is None:
        raise churn.ModelNotFound()
    return row


async def _promoted(
    database: "Database", zone: str, version: str, as_of: str | None, change_horizon: bool
) -> "ModelVersion":
    from app import churn
    from workers.judging import judge_model
    from workers.models import open_model

    row = await _of(database, version)
    await open_model(database, row.id)
    at = await as_of_or_data_end(database, as_of, zone)
    given = {"version": version, "as_of": at.isoformat(), "change_horizon": change_horizon}
    async with database.read() as read:
        rival = await churn.champion(read)
    is_comparable = rival is None or churn.horizon_of(rival.manifest) == churn.horizon_of(
        row.manifest
    )
    if row.role is not churn.ModelRole.CHAMPION and is_comparable:
        with SAYS.status("Trying it beside the model in force 正在回测比较"):
            row = await judge_model(database, model_id=row.id, as_of=at, zone=zone)
        if row.role is churn.ModelRole.CHAMPION:  # the challenger has won and is in force already
            async with database.begin() as tx:
                await _audit(tx, "promoteChurnModel", row, given)
            return row
    async with database.begin() as tx:
        answer = await churn.promote(tx, model_id=row.id, change_horizon=change_horizon)
        await _audit(tx, "promoteChurnModel", row, given)
    return answer


async def _rolled_back(database: "Database", reason: str) -> "ModelVersion":
    from app import churn

    async with database.begin() as tx:
        row = await churn.champion(tx)
        if row is None:
            raise churn.NoModel()
        answer = await churn.roll_back(tx, model_id=row.id)
        await _audit(tx, "rollBackChurnModel", row, {"version": row.version, "reason": reason})
    return answer


async def _audit(tx: Any, action: str, row: "ModelVersion", given: dict[str, Any]) -> None:
    from app import churn, staff

    await staff.audit(
        tx,
        actor=staff.Actor("operator", staff.OPERATOR),
        action=action,
        given=given,
        about=staff.subject(churn.ModelVersion, row.id),
    )


async def _verified(database: "Database") -> list[tuple[str, str, str | None]]:
    from app import churn
    from app.kernel.errors import Refusal
    from workers.models import open_model

    async with database.read() as read:
        rows = await churn.in_turn(read)
    found: list[tuple[str, str, str | None]] = []
    for row in rows:
        problem = None
        try:
            await open_model(database, row.id)
        except Refusal as refusal:
            problem = str(refusal)
        found.append((row.version, row.role.value, problem))
    return found


def _note(row: "ModelVersion") -> str:
    from app.churn import wins

    if row.unusable_why is not None:
        return f"unusable: {row.unusable_why}"
    if row.rolled_back_at is not None:
        return f"taken out {row.rolled_back_at:%Y-%m-%d}"
    if row.evidence is None:
        return ""
    return f"{'won' if wins(row.evidence) else 'did not win'} beside {row.evidence['rival']}"


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "–"


def _plain(row: "ModelVersion") -> dict[str, Any]:
    names = ("version", "sha256", "metrics", "unusable_why")
    instants = ("trained_as_of", "created_at", "promoted_at", "rolled_back_at", "unusable_since")
    return {
        **{name: getattr(row, name) for name in names},
        **{name: getattr(row, name) for name in instants},
        "role": row.role.value,
    }


def _dumped(value: Any) -> str:
    return json_text.dumps(value, default=str, ensure_ascii=False, indent=2)
