"""Everything that workers and schedulers run: the jobs, what sets them off, and when."""

from datetime import time, timedelta

from app import ballots, drops
from app.campaigns import CampaignStarted
from app.churn import AlertClosedBy, AlertEscalated, RiskRaised
from app.coupons import CouponRedeemed
from app.eco import EcoActionCredited
from app.kernel.outbox import Event
from app.leaving import DataExportRequested
from app.members import MemberErased, MembersMerged
from app.orders import OrderCancelled, OrderPaid, OrderRefunded, OrderSettled
from app.points import InvitationChanged, MemberCheckedIn
from app.tiers import TierRunAsked
from workers import (
    alerts,
    campaigns,
    churn,
    coupons,
    eco,
    gifts,
    members,
    points,
    segments,
    tiers,
    upkeep,
)
from workers import drops as drop_jobs
from workers import playbooks as playbook_jobs
from workers.jobs import by_name
from workers.reactions import Reaction, Reactions, react
from workers.schedule import Daily, Every, Plan, Tick

JOBS = by_name(
    [
        points.follow_order,
        points.follow_invitation,
        points.warn_of_expiry,
        points.move_points,
        points.audit_points,
        coupons.move_coupons,
        coupons.return_coupons,
        drop_jobs.compensate_claimants,
        drop_jobs.tidy_drops,
        campaigns.run_campaigns,
        campaigns.enrol_now,
        segments.run_segments,
        tiers.upgrade_tier,
        tiers.upgrade_inviter,
        tiers.give_up_bookings,
        tiers.run_tiers,
        tiers.take_run_on,
        tiers.notify_tiers,
        alerts.look_at_signals,
        alerts.release_alerts,
        churn.score_night,
        churn.escalate_alerts,
        churn.recover_member,
        playbook_jobs.answer_alert,
        playbook_jobs.answer_alerts,
        playbook_jobs.learn_effects,
        eco.award_member,
        eco.award_all,
        gifts.unlock_packs,
        gifts.return_gifts,
        gifts.move_gifts,
        gifts.give_occasions,
        members.make_export,
        members.close_members,
        upkeep.sweep,
        upkeep.sweep_versions,
        upkeep.sweep_scores,
    ]
)

_FOLLOW = react(points.follow_order, "member_id", "order_id")
_INVITED = react(points.follow_invitation, "member_id")
_UPGRADE = react(tiers.upgrade_tier, "member_id")
_RETURN = react(coupons.return_coupons, "member_id", "order_id")
_GIFTS = react(gifts.return_gifts, "member_id", "order_id")
_AWARD = react(eco.award_member, "member_id")
_RECOVER = react(churn.recover_member, "member_id")
_ANSWER = react(playbook_jobs.answer_alert, "alert_id")

TABLE: dict[type[Event], tuple[Reaction, ...]] = {
    OrderPaid: (_FOLLOW, _RECOVER),
    OrderSettled: (_FOLLOW, _UPGRADE, _INVITED),
    MemberCheckedIn: (_UPGRADE, _AWARD),
    # Two who were one person have their growth together.
    MembersMerged: (_UPGRADE,),
    MemberErased: (react(tiers.give_up_bookings, "member_id"),),
    EcoActionCredited: (_AWARD,),
    CouponRedeemed: (react(gifts.unlock_packs, "member_id"),),
    OrderRefunded: (_RETURN, _GIFTS, _FOLLOW, _INVITED),
    OrderCancelled: (_RETURN, _GIFTS, _FOLLOW, _INVITED),
    drops.DropCancelled: (react(drop_jobs.compensate_claimants, "drop_id"),),
    DataExportRequested: (react(members.make_export, "member_id", "export_id"),),
    InvitationChanged: (react(tiers.upgrade_inviter, "inviter_id"),),
    TierRunAsked: (react(tiers.take_run_on, "month", "publish", "zone"),),
    RiskRaised: (_ANSWER,),
    AlertEscalated: (_ANSWER,),
    AlertClosedBy: (_ANSWER,),
    CampaignStarted: (react(campaigns.enrol_now, "campaign_id"),),
}

REACTIONS = Reactions(TABLE, JOBS)

_MINUTE = timedelta(minutes=1)
_NIGHT = timedelta(hours=20)

PLANS: tuple[Plan, ...] = (
    Plan("campaigns", campaigns.run_campaigns, Every(_MINUTE)),
    Plan("points", points.move_points, Every(5 * _MINUTE)),
    Plan("coupons", coupons.move_coupons, Every(5 * _MINUTE)),
    Plan("drops", drop_jobs.tidy_drops, Every(5 * _MINUTE)),
    Plan("gifts", gifts.move_gifts, Every(5 * _MINUTE)),
    Plan("occasions", gifts.give_occasions, Every(60 * _MINUTE), catch_up=_NIGHT, patience=_NIGHT),
    Plan("alerts", churn.escalate_alerts, Every(5 * _MINUTE)),
    Plan("alerts held", alerts.release_alerts, Every(5 * _MINUTE)),
    Plan("playbooks", playbook_jobs.answer_alerts, Every(5 * _MINUTE)),
    Plan("members", members.close_members, Every(5 * _MINUTE)),
    Plan("sweep", upkeep.sweep, Every(60 * _MINUTE)),
    Plan("old scores", upkeep.sweep_scores, Daily(time(5, 30)), catch_up=_NIGHT),
    Plan("versions", upkeep.sweep_versions, Every(5 * _MINUTE)),
    Plan("expiry notices", points.warn_of_expiry, Daily(time(9, 0)), catch_up=_NIGHT),
    Plan("points audit", points.audit_points, Daily(time(1, 30)), catch_up=_NIGHT),
    Plan("segments", segments.run_segments, Daily(time(2, 10)), catch_up=_NIGHT),
    Plan("badges", eco.award_all, Daily(time(2, 40)), catch_up=_NIGHT),
    # Days and months begin at another hour in each zone: these look which of them it is.
    Plan("tier notices", tiers.notify_tiers, Every(15 * _MINUTE)),
    Plan("tiers", tiers.run_tiers, Every(5 * _MINUTE), patience=_NIGHT),
    Plan("signals", alerts.look_at_signals, Daily(time(2, 50)), catch_up=_NIGHT, patience=_NIGHT),
    Plan("churn scores", churn.score_night, Daily(time(3, 0)), catch_up=_NIGHT, patience=_NIGHT),
    Plan(
        "effects", playbook_jobs.learn_effects, Daily(time(4, 30)), catch_up=_NIGHT, patience=_NIGHT
    ),
)

# Looked at each second: members wait for these with their eyes on the screen.
TICKS: tuple[Tick, ...] = (drops.open_due, drops.close_due, ballots.close_due)
