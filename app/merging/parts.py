"""Every table that holds something of a member: how it merges, whether they get a copy of it, and
what of it is erased when their account is closed.

One list for all three, so that none of them forgets a table: a test finds tables that are not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Merges(StrEnum):
    """What becomes of a merged member's rows."""

    # Given to the survivor by the table's own slice, whose `merge` knows which to keep of two.
    MOVE = "MOVE"
    # Left under the old id, for the reason that is given.
    STAY = "STAY"
    # Deleted or ended, because it is derived from what moves, or means nothing any more.
    END = "END"


class Blank(StrEnum):
    """What erased personal data becomes."""

    NULL = "NULL"
    EMPTY_TEXT = "''"
    # For words that must be there, if only to say that there were some.
    DASH = "CASE WHEN {column} IS NOT NULL THEN '—' END"
    EMPTY_OBJECT = "'{}'::jsonb"


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be known of one table."""

    merges: Merges
    why: str = ""
    # Columns that hold a member; the first finds the member's own rows.
    by: tuple[str, ...] = ("member_id",)
    # Why the member gets no copy of it; empty where they do.
    withheld: str = ""
    # Columns never copied, and columns that are opened for the copy.
    hidden: tuple[str, ...] = ()
    # What closing the account makes of columns, or that it deletes the rows.
    erased: Mapping[str, Blank] = field(default_factory=dict[str, Blank])
    deleted: bool = False


def _moves(**given: object) -> Part:
    return Part(Merges.MOVE, **given)  # pyright: ignore[reportArgumentType]


_OURS = "a figure of ours about the member, worked out from data that they get"
_PASSING = "swept within days"

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        # Members.
        "member": Part(
            Merges.STAY,
            "closed, with the survivor in merged_into",
            by=("id", "merged_into"),
            erased={
                "avatar_url": Blank.NULL,
                "birthday": Blank.NULL,
                "consents": Blank.EMPTY_OBJECT,
            },
        ),
        "identity": _moves(hidden=("blind", "index_kid"), deleted=True),
        "leader": _moves(deleted=True),
        "member_closure": Part(Merges.END, "whoever merges has not left"),
        "member_merge": Part(
            Merges.STAY,
            "the trail of who was merged into whom",
            by=("member_id", "merged_id"),
            erased={"reason": Blank.DASH},
        ),
        "data_export": Part(Merges.END, "a copy of half a person", deleted=True),
        "data_export_part": Part(Merges.END, "goes with its export", withheld="it is the copy"),
        "audit_words": Part(
            Merges.STAY,
            "said of whoever it was then",
            withheld="what staff wrote for each other",
            deleted=True,
        ),
        "login_session": Part(
            # Ended, not deleted: other processes learn of it from the row.
            Merges.END,
            "whoever goes on signs in again",
            by=("subject_id",),
        ),
        "idempotency_key": Part(
            Merges.STAY, _PASSING, by=("owner_id",), withheld=_PASSING, deleted=True
        ),
        "member_change": Part(Merges.STAY, _PASSING, withheld=_PASSING),
        # Orders.
        "member_order": _moves(by=("member_id", "leader_id")),
        "order_line": _moves(),
        "refund": _moves(erased={"reason": Blank.NULL}),
        "activity": _moves(),
        # Points.
        "points_account": _moves(by=("member_id", "merged_into")),
        "points_lot": _moves(),
        "points_entry": Part(
            Merges.STAY,
            "the ledger is append-only: MERGE entries join the two",
            erased={"reason": Blank.DASH},
        ),
        "points_allocation": Part(Merges.STAY, "belongs to the entries"),
        "points_expiry_notice": _moves(),
        "check_in": _moves(),
        "share": _moves(),
        "invitation": _moves(by=("member_id", "inviter_id")),
        "invited_identity": _moves(hidden=("blind",), deleted=True),
        # Coupons and drops.
        "coupon": _moves(),
        "coupon_redemption": _moves(),
        "coupon_return": _moves(),
        "drop_claim": _moves(),
        "drop_guest": _moves(),
        # Packs, gifts and birthdays.
        "pack_claim": _moves(),
        "pack_part": _moves(),
        "gift_hold": _moves(),
        "birthday_change": _moves(deleted=True),
        "occasion_grant": _moves(),
        # Tiers.
        "tier_standing": _moves(erased={"override_reason": Blank.DASH}),
        "tier_change": _moves(erased={"note": Blank.NULL}),
        "tier_notice": _moves(),
        "entitlement": _moves(),
        "benefit_use": _moves(erased={"note": Blank.NULL, "reversal_reason": Blank.DASH}),
        "tier_move": Part(Merges.END, "a plan", withheld="a plan of staff's"),
        # Segments and churn.
        "member_stage": Part(
            Merges.END, "judged anew from the orders of both", hidden=("orders_digest",)
        ),
        "stage_transition": Part(Merges.STAY, "the life cycle of the one id until it ended"),
        "silence_episode": _moves(),
        "churn_score": Part(Merges.END, "scored anew", withheld=_OURS),
        "churn_score_history": _moves(withheld=_OURS),
        "churn_alert": _moves(withheld=_OURS),
        "churn_alert_step": _moves(withheld=_OURS, erased={"reason": Blank.DASH}),
        "churn_alert_action": _moves(withheld=_OURS, erased={"reason": Blank.DASH}),
        "churn_signal": Part(Merges.END, "counted anew from the events of both", withheld=_OURS),
        "campaign_enrollment": _moves(),
        # Playbooks.
        "playbook_action": _moves(withheld=_OURS),
        "playbook_message": _moves(deleted=True),
        "playbook_task": _moves(
            withheld=_OURS,
            erased={
                "note": Blank.NULL,
                "script_zh": Blank.EMPTY_TEXT,
                "script_en": Blank.EMPTY_TEXT,
            },
        ),
        "alert_rank": Part(Merges.END, "ranked anew", withheld=_OURS),
        # Taking part.
        "ballot_roll": _moves(),
        "vote": _moves(),
        "review": _moves(erased={"text": Blank.EMPTY_TEXT, "hidden_reason": Blank.DASH}),
        "eco_action": _moves(erased={"evidence": Blank.EMPTY_TEXT, "reason": Blank.DASH}),
        "badge_award": _moves(erased={"revoked_reason": Blank.DASH}),
    }
)
