"""The house's rules that no linter knows: faces, order within slices, sizes, names, the schema."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    is_specified_directive,
)

from schema import build_schema
from schema.fields import ALLOW
from schema.guard import Allow

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "schema", "ml", "simulation", "workers", "cli")
SOURCES = sorted(
    file for package in PACKAGES for file in (ROOT / package).rglob("*.py") if file.is_file()
)
SLICES = sorted(
    folder.name
    for folder in (ROOT / "app").iterdir()
    if folder.is_dir() and folder.name not in {"kernel", "__pycache__"}
)
# Lower may not import higher; modules of other names take part in no order of their own.
ORDER = {"errors": 0, "events": 0, "tables": 1, "rules": 2, "queries": 3, "commands": 4}
LONGEST_FUNCTION = 40
LONGEST_FILE = 350
BANNED = re.compile(r"(^|_)(utils?|helpers?|manager|service|common)($|_)", re.IGNORECASE)
HOSTS = ("pypi" + ".org", "python" + "hosted", "npm" + "js.", "deb" + "ian.org")

NAMES = {
    "Query": "me node members member tiers drops drop ballots ballot campaigns churnAlerts "
    "segments serverInfo",
    "Mutation": "loginWithWechat requestPhoneCode loginWithPhone refreshSession logout staffLogin "
    "checkIn claimDrop redeemCoupon castVote submitReview submitEcoAction recordOrders "
    "recordEvents createCouponTemplate createDrop openDrop createBallot openBallot closeBallot "
    "verifyEcoAction createCampaign startCampaign pauseCampaign adjustPoints",
    "Subscription": "dropUpdated ballotTally myUpdates churnAlertRaised serverTime",
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


def is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_slices_are_used_only_by_their_faces() -> None:
    broken: set[str] = set()
    for file in SOURCES:
        own = file.relative_to(ROOT).parts[:2]
        for name in imports(file):
            parts = name.split(".")
            inner = len(parts) > 2 and parts[0] == "app" and parts[1] in SLICES
            if inner and own != tuple(parts[:2]) and is_module(".".join(parts[:3])):
                broken.add(f"{file.relative_to(ROOT)} imports {'.'.join(parts[:3])}")
    assert not broken


def test_inside_a_slice_commands_stand_on_queries_rules_tables_events() -> None:
    broken: set[str] = set()
    for file in SOURCES:
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[0] != "app" or len(parts) < 3 or parts[2] not in ORDER:
            continue
        for name in imports(file):
            other = name.split(".")
            inside = len(other) > 2 and tuple(other[:2]) == parts[:2]
            if inside and ORDER.get(other[2], -1) > ORDER[parts[2]]:
                broken.add(f"{'.'.join(parts)} imports {'.'.join(other[:3])}")
    assert not broken


def test_functions_and_files_are_short() -> None:
    long: list[str] = []
    for file in SOURCES:
        text = file.read_text(encoding="utf-8")
        where = file.relative_to(ROOT)
        if text.count("\n") > LONGEST_FILE:
            long.append(f"{where}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                # What it promises is not what it does: the docstring counts for nothing.
                body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
                lines = (node.end_lineno or node.lineno) - body[0].lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{where}:{node.lineno} {node.name}: {lines} lines")
    assert not long


def test_names_say_what_is_in_a_room() -> None:
    bad = [str(file.relative_to(ROOT)) for file in SOURCES if BANNED.search(file.stem)]
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and re.search(
                r"(Utils?|Helpers?|Manager|Service)$", node.name
            ):
                bad.append(f"{file.relative_to(ROOT)}: {node.name}")
    assert not bad


def test_no_await_inside_a_comprehension_under_schema() -> None:
    bad: list[str] = []
    for file in (ROOT / "schema").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                inner = [node.elt] if not isinstance(node, ast.DictComp) else [node.key, node.value]
                if any(isinstance(n, ast.Await) for part in inner for n in ast.walk(part)):
                    bad.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert not bad, "one statement an item: use ctx.many"


def test_no_committed_file_names_a_package_host() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    bad: list[str] = []
    for name in filter(None, files.split("\0")):
        path = ROOT / name
        if path.is_file():
            text = path.read_bytes().decode("utf-8", errors="ignore")
            bad += [f"{name}: {host}" for host in HOSTS if host in text]
    assert not bad


def own_types() -> list[GraphQLNamedType]:
    types = build_schema()._schema.type_map.values()
    builtin = {"String", "Int", "Float", "Boolean", "ID", "JSON", "UUID", "Date"}
    return [kind for kind in types if not kind.name.startswith("__") and kind.name not in builtin]


def test_every_root_field_states_who_may_use_it() -> None:
    open_fields: list[str] = []
    for root in ("Query", "Mutation", "Subscription"):
        definition = build_schema().get_type_by_name(root)
        for field in definition.fields:  # type: ignore[union-attr]
            if not isinstance(field.metadata.get(ALLOW), Allow):
                open_fields.append(f"{root}.{field.python_name}")
    assert not open_fields


def test_everything_in_the_schema_is_described_in_a_sentence() -> None:
    bare: list[str] = []
    for kind in own_types():
        said = [(kind.name, kind.description)]
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in kind.fields.items():
                said.append((f"{kind.name}.{name}", field.description))
                said += [
                    (f"{kind.name}.{name}({argument})", value.description)
                    for argument, value in field.args.items()
                ]
        elif isinstance(kind, GraphQLInputObjectType):
            said += [(f"{kind.name}.{n}", f.description) for n, f in kind.fields.items()]
        elif isinstance(kind, GraphQLEnumType):
            said += [(f"{kind.name}.{n}", v.description) for n, v in kind.values.items()]
        bare += [name for name, text in said if not (text and text.rstrip().endswith("."))]
    for directive in build_schema()._schema.directives:
        if not is_specified_directive(directive):
            parts = {"": directive, **directive.args}
            bare += [f"@{directive.name}({n})" for n, part in parts.items() if not part.description]
    assert not bare


def test_every_mutation_takes_one_input_and_answers_a_union_with_user_errors() -> None:
    schema = build_schema()._schema
    mutation = schema.mutation_type
    assert mutation is not None
    odd: list[str] = []
    for name, field in mutation.fields.items():
        answer = getattr(field.type, "of_type", field.type)
        if list(field.args) != ["input"] or not isinstance(answer, GraphQLUnionType):
            odd.append(name)
            continue
        refusals = [
            member for member in answer.types if "UserError" in {i.name for i in member.interfaces}
        ]
        if len(refusals) != len(answer.types) - 1:
            odd.append(f"{name}: more than one success")
    assert not odd


@pytest.mark.parametrize("root", NAMES)
def test_the_promised_names_are_there(root: str) -> None:
    kind = build_schema()._schema.type_map[root]
    assert isinstance(kind, GraphQLObjectType)
    assert set(NAMES[root].split()) <= set(kind.fields)
