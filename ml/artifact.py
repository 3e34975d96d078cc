"""A trained model as bytes or a folder: parts, a manifest, and checksums over both.

A file is `LINLIML1`, the SHA-256 of the rest, and a zip of the parts with fixed times; a folder
holds the same parts as files. Nothing is pickled: reading a model runs no code from it.
"""

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ml import booster
from ml.aft import Waits
from ml.bgnbd import BgNbd
from ml.booster import MAX_BIN, PARAMETERS, ROUNDS, WAIT_ROUNDS, WAITS
from ml.cnbd import Cnbd
from ml.errors import CorruptArtifact
from ml.evaluation import Metrics
from ml.expectations import UNFITTED, Expectations
from ml.ladder import MIXED, RUNGS, Models, Rung
from ml.logistic import Logistic
from ml.samples import Plan
from ml.table import Table

FORMAT: Final = 3
FORMATS: Final = (1, 2, FORMAT)
"""What can be read: format 1 had no waits, no CNBD-k and no weights, format 2 no `logistic_rfm`."""

CODE: Final = "3"
"""Raised whenever features or models change meaning."""

_OLD: Final = 1
_RFM: Final = 3
"""The first format with `logistic_rfm`."""

_MAGIC: Final = b"LINLIML1"
_PARTS: Final = ("booster.ubj", "models.json", "waits.ubj")
_OLD_PARTS: Final = ("booster.ubj", "models.json")
_MANIFEST: Final = "manifest.json"
_SEAL: Final = "manifest.sha256"


@dataclass(frozen=True)
class About:
    """What a manifest says of a model: data, cutoffs, parameters, and held-out metrics.

    `metrics` has one entry a past origin, keyed by its epoch second. Instants are UTC.
    """

    as_of: int
    horizon_days: int
    active_days: int
    window: tuple[int, int]
    orders: int
    members: int
    cutoffs: tuple[int, ...]
    seed: int
    correction: str
    parameters: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    code: str


@dataclass(frozen=True, eq=False)
class Artifact:
    """A model ready to score: trained parts, the rung that was chosen, and its correction.

    `waits` tells the days until the next order; models of format 1 have none.
    """

    models: Models
    purchases: Expectations
    choice: Rung
    shift: float
    about: About
    waits: Waits | None = None

    @property
    def version(self) -> str:
        """A name that follows from the content: equal models have equal versions."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def manifest(self) -> dict[str, Any]:
        """The manifest as plain values, with the SHA-256 of every part."""
        return _manifest(self, _parts(self))

    def to_bytes(self) -> bytes:
        """One self-checking block of bytes, the same for the same model."""
        parts = _parts(self)
        parts[_MANIFEST] = _json(_manifest(self, parts))
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as file:
            for name in sorted(parts):
                file.writestr(zipfile.ZipInfo(name), parts[name], zipfile.ZIP_DEFLATED, 6)
        data = body.getvalue()
        return _MAGIC + hashlib.sha256(data).digest() + data

    def save(self, folder: Path) -> None:
        """Write the parts into `folder`, which is made if need be; the seal goes last."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _SEAL).unlink(missing_ok=True)
        parts = _parts(self)
        manifest = _json(_manifest(self, parts))
        for name, data in (parts | {_MANIFEST: manifest}).items():
            (folder / name).write_bytes(data)
        (folder / _SEAL).write_text(hashlib.sha256(manifest).hexdigest() + "\n")


def describe(
    *,
    plan: Plan,
    as_of: int,
    window: tuple[int, int],
    orders: int,
    members: int,
    cutoffs: tuple[int, ...],
    correction: str,
    metrics: dict[int, Metrics],
) -> About:
    """Put together what the manifest will say."""
    return About(
        as_of=as_of,
        horizon_days=plan.horizon_days,
        active_days=plan.active_days,
        window=window,
        orders=orders,
        members=members,
        cutoffs=cutoffs,
        seed=plan.seed,
        correction=correction,
        parameters={
            "booster": PARAMETERS,
            "rounds": ROUNDS,
            "max_bin": MAX_BIN,
            "waits": WAITS | {"rounds": WAIT_ROUNDS},
        },
        metrics={str(origin): asdict(metric) for origin, metric in metrics.items()},
        code=CODE,
    )


def from_bytes(data: bytes) -> Artifact:
    """A model from `to_bytes`. Raises CorruptArtifact on any damage or an unknown format."""
    head = len(_MAGIC)
    if data[:head] != _MAGIC:
        raise CorruptArtifact("These bytes are not a model of this program.")
    seal, body = data[head : head + 32], data[head + 32 :]
    if hashlib.sha256(body).digest() != seal:
        raise CorruptArtifact("The model is damaged: its checksum does not match.")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as file:
            parts = {name: file.read(name) for name in file.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CorruptArtifact(f"The model cannot be unpacked: {error}") from error
    return _assemble(parts)


def load(folder: Path) -> Artifact:
    """A model from `Artifact.save`. Raises CorruptArtifact on any damage or missing part."""
    try:
        parts = {_MANIFEST: (folder / _MANIFEST).read_bytes()}
        seal = (folder / _SEAL).read_bytes()
    except OSError as error:
        raise CorruptArtifact(f"A part of the model cannot be read: {error}") from error
    if seal != hashlib.sha256(parts[_MANIFEST]).hexdigest().encode() + b"\n":
        raise CorruptArtifact("The manifest does not match its seal.")
    try:
        for name in _listed(parts[_MANIFEST]):
            parts[name] = (folder / name).read_bytes()
    except OSError as error:
        raise CorruptArtifact(f"A part of the model cannot be read: {error}") from error
    return _assemble(parts)


def _listed(manifest: bytes) -> tuple[str, ...]:
    """The parts that a sealed manifest speaks of, among those that there can be."""
    try:
        named = json.loads(manifest)["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifact(f"The manifest cannot be read: {error!r}") from error
    return tuple(name for name in _PARTS if name in named)


def _parts(artifact: Artifact) -> dict[str, bytes]:
    table = artifact.models.table
    models: dict[str, Any] = {
        "purchases": asdict(artifact.purchases),
        "weights": dict(zip(MIXED, artifact.models.weights, strict=True)),
        "recency_frequency": {"edges": table.edges.tolist(), "rate": table.rate.tolist()},
        "logistic": _stored(artifact.models.logistic),
    }
    if artifact.models.logistic_rfm is not None:
        models["logistic_rfm"] = _stored(artifact.models.logistic_rfm)
    parts = {"booster.ubj": artifact.models.booster.to_bytes(), "models.json": _json(models)}
    if artifact.waits is not None:
        parts["waits.ubj"] = artifact.waits.trees.to_bytes()
    return parts


def _stored(linear: Logistic) -> dict[str, Any]:
    return {
        "mean": linear.mean.tolist(),
        "sd": linear.sd.tolist(),
        "weight": linear.weight.tolist(),
        "intercept": linear.intercept,
    }


def _logistic(stored: dict[str, Any]) -> Logistic:
    mean, sd, weight = (
        np.array(stored[name], dtype=np.float64) for name in ("mean", "sd", "weight")
    )
    return Logistic(mean, sd, weight, float(stored["intercept"]))


def _format(artifact: Artifact) -> int:
    """A model of an older format is written as it was read."""
    if artifact.models.logistic_rfm is not None:
        return FORMAT
    return _OLD if artifact.waits is None else _RFM - 1


def _manifest(artifact: Artifact, parts: dict[str, bytes]) -> dict[str, Any]:
    return {
        "format": _format(artifact),
        "features": list(artifact.models.names),
        "choice": artifact.choice,
        "shift": artifact.shift,
        "about": asdict(artifact.about),
        "sha256": {n: hashlib.sha256(parts[n]).hexdigest() for n in _PARTS if n in parts},
    }


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1).encode()


def _assemble(parts: dict[str, bytes]) -> Artifact:
    try:
        manifest: dict[str, Any] = json.loads(parts[_MANIFEST])
        if manifest["format"] not in FORMATS:
            raise CorruptArtifact(f"Format {manifest['format']} of the model is not known.")
        for name, expected in manifest["sha256"].items():
            if hashlib.sha256(parts[name]).hexdigest() != expected:
                raise CorruptArtifact(f"Part {name} of the model is damaged.")
        known = _OLD_PARTS if manifest["format"] == _OLD else _PARTS
        trees = {name: parts[name] for name in known if name.endswith(".ubj")}
        return _read(manifest, json.loads(parts["models.json"]), trees)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifact(f"The model is incomplete: {error!r}") from error


def _read(manifest: dict[str, Any], models: dict[str, Any], trees: dict[str, bytes]) -> Artifact:
    about = manifest["about"]
    waits = trees.get("waits.ubj")
    if manifest["choice"] not in RUNGS:
        raise CorruptArtifact(f"Kind {manifest['choice']} of model is not known.")
    has_rfm = manifest["format"] >= _RFM
    if manifest["choice"] in ("simple_mean", "logistic_rfm") and not has_rfm:
        raise CorruptArtifact("The model was chosen by a part that its format does not have.")
    tuples = {"window": tuple(about["window"]), "cutoffs": tuple(about["cutoffs"])}
    return Artifact(
        models=Models(
            names=tuple(manifest["features"]),
            table=_table(models),
            weights=_weights(models),
            logistic=_logistic(models["logistic"]),
            booster=booster.from_bytes(trees["booster.ubj"]),
            logistic_rfm=_logistic(models["logistic_rfm"]) if has_rfm else None,
        ),
        purchases=_expected(models["purchases"]),
        choice=manifest["choice"],
        shift=float(manifest["shift"]),
        about=About(**(about | tuples)),
        waits=None if waits is None else Waits(booster.from_bytes(waits)),
    )


def _expected(stored: dict[str, Any]) -> Expectations:
    """The models of buying; those of format 1 knew BG/NBD alone, and read no other column."""
    if "bgnbd" not in stored:
        return replace(UNFITTED, bgnbd=BgNbd(**stored))
    return Expectations(BgNbd(**stored["bgnbd"]), Cnbd(**stored["cnbd"]))


def _table(models: dict[str, Any]) -> Table:
    stored = models.get("recency_frequency", {"edges": [], "rate": [0.5] * 6})
    edges, rate = (np.array(stored[name], dtype=np.float64) for name in ("edges", "rate"))
    return Table(edges, rate)


def _weights(models: dict[str, Any]) -> tuple[float, ...]:
    """The weights of the mean; that of format 1 was an even one of three."""
    even: dict[str, float] = dict.fromkeys(("bgnbd", "logistic", "xgboost"), 1 / 3)
    stored: dict[str, float] = models.get("weights", even)
    return tuple(float(stored.get(rung, 0.0)) for rung in MIXED)
