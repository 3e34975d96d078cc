"""The list of what merging, copying and closing do with each table is whole and true."""

from app.merging import PARTS, Merges
from app.metadata import all_tables

# What no list of members' own rows has: the log of what staff did, which is kept for good.
NOT_MEMBERS = {"audit_entry"}


def test_every_table_that_holds_a_member_says_what_becomes_of_it() -> None:
    missing: dict[str, set[str]] = {}
    for table in all_tables().tables.values():
        holds = {
            column.name
            for column in table.columns
            if column.name in {"member_id", "owner_id", "subject_id"}
            or any(key.column.table.name == "member" for key in column.foreign_keys)
        }
        part = PARTS.get(table.name)
        named = set() if part is None else set(part.by)
        if table.name not in NOT_MEMBERS and holds - named:
            missing[table.name] = holds - named
    assert not missing


def test_the_list_names_only_tables_and_columns_that_are_there() -> None:
    tables = all_tables().tables
    for name, part in PARTS.items():
        columns = set(tables[name].columns.keys())
        assert set(part.by) | set(part.hidden) | set(part.erased) <= columns, name
        assert part.merges is Merges.MOVE or part.why, f"{name} does not say why"
