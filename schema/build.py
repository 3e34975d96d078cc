"""The schema put together from the slices' modules."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import cache
from typing import Annotated, Any

import strawberry
from graphql import GraphQLError, GraphQLSchema
from strawberry.extensions import AddValidationRules
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from schema import (
    audit,
    ballots,
    benefits,
    campaigns,
    churn,
    churn_models,
    coupons,
    drops,
    eco,
    gifts,
    members,
    notices,
    packs,
    playbooks,
    playbooks_queue,
    reviews,
)
from schema.audit import AuditQuery
from schema.ballots import BallotsQuery
from schema.ballots_changes import BallotsMutation
from schema.ballots_live import BallotsSubscription
from schema.benefits import BenefitsQuery
from schema.benefits_changes import BenefitsMutation
from schema.campaigns import CampaignsMutation, CampaignsQuery
from schema.churn_changes import ChurnMutation
from schema.churn_drift import ChurnDriftQuery
from schema.churn_live import ChurnSubscription
from schema.churn_models import ChurnModelQuery
from schema.churn_models_changes import ChurnModelMutation
from schema.churn_queue import ChurnQuery
from schema.churn_triggers import ChurnTriggerQuery
from schema.community_settings import CommunitySettingsMutation, CommunitySettingsQuery
from schema.context import Info
from schema.coupons_batches import CouponBatchesMutation, CouponOfficeQuery
from schema.coupons_changes import CouponsMutation
from schema.coupons_holding import CouponsHoldingMutation
from schema.coupons_prices import PricesQuery
from schema.drops import DropsQuery
from schema.drops_changes import DropsMutation
from schema.drops_early_changes import DropsEarlyMutation
from schema.drops_live import DropsSubscription
from schema.eco import EcoMutation
from schema.engine.inputs import SoundLiterals
from schema.errors import present_all
from schema.fields import query
from schema.gifts import GiftsQuery
from schema.gifts_changes import GiftsMutation
from schema.guard import PUBLIC
from schema.leaving import LeavingMutation, LeavingQuery
from schema.members import MemberMutation, MemberQuery, MemberSubscription
from schema.merging import MergingQuery
from schema.merging_changes import MergingMutation
from schema.nodes import Node, NodeLoader, read_id
from schema.notices import NoticesMutation, NoticesQuery
from schema.occasions import OccasionsMutation, OccasionsQuery
from schema.orders import OrdersMutation
from schema.packs import PacksQuery
from schema.packs_changes import PacksMutation
from schema.playbooks import PlaybooksQuery
from schema.playbooks_changes import PlaybooksMutation
from schema.playbooks_queue import PlaybookQueueQuery, PlaybookTasksMutation
from schema.points import PointsMutation
from schema.points_statement import PointsQuery
from schema.reviews import ReviewsMutation
from schema.scalars import SCALARS
from schema.segments import SegmentsQuery
from schema.server import ServerQuery, ServerSubscription
from schema.sessions import SessionMutation
from schema.sharing import SharingMutation
from schema.slots_changes import SlotsMutation
from schema.tier_runs import TierRunMutation, TierRunQuery
from schema.tiers import TierQuery
from schema.tiers_changes import TierMutation

NODES: dict[str, NodeLoader] = {
    **members.NODES,
    **coupons.NODES,
    **benefits.NODES,
    **packs.NODES,
    **gifts.NODES,
    **drops.NODES,
    **churn.NODES,
    **churn_models.NODES,
    **campaigns.NODES,
    **ballots.NODES,
    **reviews.NODES,
    **eco.NODES,
    **audit.NODES,
    **notices.NODES,
    **playbooks.NODES,
    **playbooks_queue.NODES,
}


@strawberry.type(description="Everything that can be read.")
class Query(
    MemberQuery,
    MergingQuery,
    LeavingQuery,
    TierQuery,
    TierRunQuery,
    BenefitsQuery,
    PricesQuery,
    CouponOfficeQuery,
    PacksQuery,
    GiftsQuery,
    OccasionsQuery,
    DropsQuery,
    SegmentsQuery,
    ChurnQuery,
    ChurnModelQuery,
    ChurnDriftQuery,
    ChurnTriggerQuery,
    CampaignsQuery,
    BallotsQuery,
    AuditQuery,
    PointsQuery,
    NoticesQuery,
    PlaybooksQuery,
    PlaybookQueueQuery,
    CommunitySettingsQuery,
    ServerQuery,
):
    @query(PUBLIC, description="Fetches any object again by its id, under its own access rule.")
    async def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The object's id.")],
    ) -> Node | None:
        kind, key = read_id(id)
        loader = NODES.get(kind)
        return None if loader is None else await loader(info, key)


@strawberry.type(description="Everything that can be done.")
class Mutation(
    SessionMutation,
    MemberMutation,
    MergingMutation,
    LeavingMutation,
    OrdersMutation,
    PointsMutation,
    SharingMutation,
    TierMutation,
    TierRunMutation,
    BenefitsMutation,
    SlotsMutation,
    NoticesMutation,
    CommunitySettingsMutation,
    CouponsMutation,
    CouponsHoldingMutation,
    CouponBatchesMutation,
    PacksMutation,
    GiftsMutation,
    OccasionsMutation,
    DropsMutation,
    DropsEarlyMutation,
    ChurnMutation,
    ChurnModelMutation,
    CampaignsMutation,
    PlaybooksMutation,
    PlaybookTasksMutation,
    BallotsMutation,
    ReviewsMutation,
    EcoMutation,
):
    pass


@strawberry.type(description="Everything that can be followed live, resumable by cursor.")
class Subscription(
    MemberSubscription,
    DropsSubscription,
    ChurnSubscription,
    BallotsSubscription,
    ServerSubscription,
):
    pass


class LinliSchema(strawberry.Schema):
    """Strawberry's schema without its log of client mistakes; faults are logged once, by id."""

    @property
    def core(self) -> GraphQLSchema:
        """The same schema as graphql-core knows it."""
        return self._schema

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Leave logging to `present`, which sees every result on its way out."""

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Answer a query or mutation, its errors presented; subscriptions need a stream."""
        allowed = kwargs.get("allowed_operation_types") or set(OperationType)
        kwargs["allowed_operation_types"] = set(allowed) - {OperationType.SUBSCRIPTION}
        return present_all(await super().execute(*args, **kwargs))

    async def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Answer over a socket or a stream, the errors of every result presented."""
        source: Any = await super().stream(*args, **kwargs)
        if isinstance(source, ExecutionResult):
            return present_all(source)
        return _presented(source)


async def _presented(source: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
    async with aclosing(source) as results:
        async for result in results:
            yield present_all(result)


@cache
def build_schema() -> LinliSchema:
    """The schema of this version, built once a process."""
    return LinliSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[],
        # The engine adds its own; this is for whoever executes the schema by Strawberry's means.
        extensions=[lambda: AddValidationRules([SoundLiterals])],
        config=StrawberryConfig(scalar_map=SCALARS, relay_max_results=100),
    )
