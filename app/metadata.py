"""Every table of Linli in one metadata object, for migrations and tests."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import MetaData

from app.kernel.auth import brakes, sessions
from app.kernel.idempotency import IdempotencyRow
from app.kernel.outbox import OutboxRow
from app.kernel.schedule import ScheduleRun
from app.kernel.table import Table
from app.kernel.versions import ChangeHorizon, MemberChange

KERNEL_TABLES = (
    OutboxRow,
    IdempotencyRow,
    ScheduleRun,
    sessions.LoginSession,
    brakes.LoginBrake,
    MemberChange,
    ChangeHorizon,
)

# Tables with a member_id whose changes raise no member's version, and why: nothing of them may be
# shown to the member. A field that shows one to members needs a migration that tracks it.
UNVERSIONED: Mapping[str, str] = MappingProxyType(
    {
        "member_change": "it is the versions",
        "audit_words": "read by owners of the platform in the audit log",
        "activity": "read by segments and models only, and the largest table of all",
        "campaign_enrollment": "who got a campaign's coupon; members see the coupon",
        "churn_alert": "for staff",
        "churn_alert_action": "for staff",
        "churn_alert_step": "for staff",
        "churn_score": "for staff, and written for everybody each night",
        "churn_score_history": "for staff, and written for everybody each night",
        "churn_signal": "for staff, and written for very many by night",
        "data_export_part": "read by the download of the copy alone",
        "invited_identity": "known to the rules of invitations only",
        "occasion_grant": "written by night for very many; members see the coupon",
        "alert_rank": "for staff",
        "playbook_action": "for staff; members see the coupon, points or message",
        "playbook_task": "for staff and leaders",
        "points_allocation": "written only with the entry and lots that it joins",
        "points_expiry_notice": "that a notice was sent; the notice itself goes by the outbox",
        "silence_episode": "read by points rules and models only",
        "stage_transition": "the past of member_stage, read by models and staff",
        "tier_move": "a plan for staff; members see tier_standing once it is applied",
    }
)


def all_tables() -> MetaData:
    """The metadata after importing the tables of the kernel and of every slice."""
    here = Path(__file__).parent
    for file in sorted([*here.glob("*/tables.py"), *here.glob("*/tables/__init__.py")]):
        module = file.relative_to(here).with_suffix("").parts
        name = ".".join(part for part in module if part != "__init__")
        import_module(f"app.{name}")
    return Table.metadata


def versioned_tables() -> dict[str, str]:
    """Each table whose changes raise members' versions, with its column that holds the member."""
    tables = all_tables().tables.values()
    own = {table.name: "member_id" for table in tables if "member_id" in table.columns}
    return {"member": "id"} | {name: by for name, by in own.items() if name not in UNVERSIONED}
