"""Experiments as rows for models of their effect, and the models that came of them."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.orm import undefer

from app.kernel.db import Read, Tx
from app.kernel.sets import lock_name
from app.kernel.table import Json
from app.playbooks.features import feature_row
from app.playbooks.tables import Playbook, PlaybookState, UpliftModel

# One row a member: the first action of the experiment that did something. Members held out of that
# level only are in neither arm: later levels may have treated them.
_EXPERIMENT = text(
    """
    WITH r AS (
        SELECT a.*, row_number() OVER (PARTITION BY member_id ORDER BY a.at, a.level) AS nth
        FROM playbook_action a
        WHERE a.experiment_id = :experiment_id AND a.kind <> 'NOTHING' AND NOT a.left_alone
          AND a.at <= CAST(:now AS timestamptz) - make_interval(days => :horizon)
    )
    SELECT r.features, r.arm = 'TREATED' AS treated, EXISTS (
        SELECT FROM member_order o
        WHERE o.member_id = r.member_id AND o.paid_at > r.at
          AND o.paid_at <= r.at + make_interval(days => :horizon)
          AND o.status IN ('PAID', 'SETTLED', 'PARTLY_REFUNDED')) AS stayed
    FROM r WHERE nth = 1 AND arm <> 'LEVEL_CONTROL'
    ORDER BY r.member_id
    """
)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A finished part of an experiment: features, who was treated, and who ordered; a row each."""

    experiment_id: UUID
    as_of: datetime
    features: list[list[float]]
    treated: list[bool]
    stayed: list[bool]

    def arm(self, treated: bool) -> int:
        """How many members are in an arm."""
        return sum(one is treated for one in self.treated)


@dataclass(frozen=True, slots=True)
class NewModel:
    """A model of an experiment's effect with how it ranked members that it was not fitted on."""

    experiment_id: UUID
    treated: int
    control: int
    mean_effect: float
    qini: float
    qini_low: float
    qini_high: float
    manifest: Json
    artifact: bytes


async def running_experiments(read: Read) -> list[Playbook]:
    """The versions in force, one an experiment."""
    rows = await read.session.scalars(
        select(Playbook).where(Playbook.state == PlaybookState.ACTIVE).order_by(Playbook.id)
    )
    return list({row.experiment_id: row for row in rows}.values())


async def read_experiment(read: Read, playbook: Playbook) -> Experiment:
    """What has come of an experiment among members whose horizon is over."""
    given = {
        "experiment_id": playbook.experiment_id,
        "horizon": playbook.horizon_days,
        "now": read.now,
    }
    rows = (await read.session.execute(_EXPERIMENT, given)).all()
    return Experiment(
        playbook.experiment_id,
        read.now,
        [feature_row(row.features) for row in rows],
        [row.treated for row in rows],
        [row.stayed for row in rows],
    )


async def newest_model(read: Read, experiment_id: UUID) -> UpliftModel | None:
    """The newest model of an experiment, in force or not, without its bytes."""
    return await read.session.scalar(
        select(UpliftModel)
        .where(UpliftModel.experiment_id == experiment_id)
        .order_by(UpliftModel.created_at.desc(), UpliftModel.id.desc())
        .limit(1)
    )


async def models_in_force(read: Read) -> dict[UUID, UpliftModel]:
    """The model that ranks alerts, by experiment, with its bytes.

    One that does not match its checksum is left out: its alerts are ranked by what is at stake.
    """
    rows = await read.session.scalars(
        select(UpliftModel)
        .where(UpliftModel.in_force.is_(True))
        .options(undefer(UpliftModel.artifact))
    )
    return {
        row.experiment_id: row
        for row in rows
        if hashlib.sha256(row.artifact).hexdigest() == row.sha256
    }


async def register_uplift(tx: Tx, new: NewModel) -> UpliftModel:
    """Store a model; it ranks alerts from now on only if its interval leaves zero out.

    Whichever was in force before is not any longer: the newer has seen all that the older had.
    """
    await lock_name(tx, f"uplift of {new.experiment_id}")
    await tx.session.execute(
        update(UpliftModel)
        .where(UpliftModel.experiment_id == new.experiment_id, UpliftModel.in_force.is_(True))
        .values(in_force=False)
    )
    row = UpliftModel(
        id=tx.new_id(),
        experiment_id=new.experiment_id,
        version=f"{tx.now:%Y%m%dT%H%M%S}-{new.experiment_id.hex[-12:]}",
        treated=new.treated,
        control=new.control,
        mean_effect=new.mean_effect,
        qini=new.qini,
        qini_low=new.qini_low,
        qini_high=new.qini_high,
        manifest=new.manifest,
        sha256=hashlib.sha256(new.artifact).hexdigest(),
        artifact=new.artifact,
        in_force=new.qini_low > 0,
        created_at=tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    return row
