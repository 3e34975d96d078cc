"""What staff do with models: put one in force that has won, or go back to the one before."""

from uuid import UUID

import strawberry

from app import churn
from app.kernel.auth import Role
from app.kernel.db import Tx
from app.kernel.errors import InvalidInput
from app.kernel.table import Json
from app.staff import subject
from schema.acting import answered
from schema.churn_models import KIND, ChurnModel, model_of
from schema.context import Info
from schema.fields import mutation
from schema.guard import staff
from schema.nodes import key_of

LONGEST_REASON = 500


@strawberry.input(description="A model that shall be put in force.")
class PromoteChurnModelInput:
    model_id: strawberry.ID = strawberry.field(description="The model.")
    idempotency_key: str = strawberry.field(
        description="1 to 128 characters of the client's choice; the same key again gives the "
        "same answer."
    )


@strawberry.type(description="The model is in force.")
class PromoteChurnModelSuccess:
    model: ChurnModel = strawberry.field(description="The model that is in force now.")


@strawberry.input(description="A model that shall be taken out of force.")
class RollBackChurnModelInput:
    model_id: strawberry.ID = strawberry.field(
        description="The model in force; naming it keeps two who press at once from going back "
        "two steps."
    )
    reason: str = strawberry.field(description="Why, in 1 to 500 characters, for the audit log.")
    idempotency_key: str = strawberry.field(
        description="1 to 128 characters of the client's choice; the same key again gives the "
        "same answer."
    )


@strawberry.type(description="The model before it is in force again.")
class RollBackChurnModelSuccess:
    model: ChurnModel = strawberry.field(description="The model that is in force now.")


async def _answered(info: Info, key: str) -> ChurnModel:
    async with info.context.read() as read:
        rows = await churn.model_by_id(read, [UUID(key)])
    return model_of(rows[UUID(key)])


@strawberry.type(description="Mutations of models.")
class ChurnModelMutation:
    @mutation(
        staff(Role.ANALYST),
        PromoteChurnModelSuccess,
        refusals=[
            churn.ModelNotFound,
            churn.AlreadyInForce,
            churn.ModelDamaged,
            churn.HorizonsDiffer,
            churn.NoEvidence,
            churn.NotBetter,
        ],
        description="Puts a model in force that has won against the one in force.",
    )
    async def promote_churn_model(
        self, info: Info, input: PromoteChurnModelInput
    ) -> PromoteChurnModelSuccess:
        key = key_of(input.model_id, KIND)

        async def work(tx: Tx) -> Json:
            return {"model": str((await churn.promote(tx, model_id=key)).id)}

        done = await answered(info, input, work, about=subject(churn.ModelVersion, key))
        return PromoteChurnModelSuccess(model=await _answered(info, done["model"]))

    @mutation(
        staff(Role.ANALYST),
        RollBackChurnModelSuccess,
        refusals=[churn.ModelNotFound, churn.NotInForce, churn.NoEarlierModel],
        description="Takes a model out of force and puts back the one before it.",
    )
    async def roll_back_churn_model(
        self, info: Info, input: RollBackChurnModelInput
    ) -> RollBackChurnModelSuccess:
        key = key_of(input.model_id, KIND)
        if not 0 < len(input.reason.strip()) <= LONGEST_REASON:
            raise InvalidInput(
                field="reason",
                reason=f"1 to {LONGEST_REASON} characters",
                reason_zh=f"1至{LONGEST_REASON}个字符",
            )

        async def work(tx: Tx) -> Json:
            return {"model": str((await churn.roll_back(tx, model_id=key)).id)}

        done = await answered(info, input, work, about=subject(churn.ModelVersion, key))
        return RollBackChurnModelSuccess(model=await _answered(info, done["model"]))
