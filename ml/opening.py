"""Opening a stored model: its bytes, and the manifest kept beside them."""

from functools import cache
from typing import Any

import numpy as np

from ml import artifact as artifacts
from ml import features
from ml.artifact import FORMATS, Artifact
from ml.errors import CorruptArtifact, ModelError
from ml.expectations import UNFITTED
from ml.facts import Facts


class UnknownModel(ModelError):
    """The model is whole, but made by another version of the program than this."""


@cache
def known_features() -> frozenset[str]:
    """The names of all columns that this code makes."""
    one = Facts(
        member_ids=[0],
        order_member=np.zeros(1, np.int32),
        order_at=np.zeros(1, np.int64),
        order_fen=np.ones(1, np.int64),
    )
    return frozenset(features.build(one, 1, purchases=UNFITTED).names)


def read_model(data: bytes, manifest: dict[str, Any]) -> Artifact:
    """The model of these bytes, if `manifest` is theirs and this code can work with it.

    Raises UnknownModel for another format or features that this code does not make, and
    CorruptArtifact for any damage or a manifest of another model.
    """
    made = manifest.get("format")
    if isinstance(made, int) and made not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        raise UnknownModel(f"it has format {made}, this program reads the formats {known}")
    model = artifacts.from_bytes(data)
    inside = model.manifest()
    if any(manifest.get(name) != inside[name] for name in ("sha256", "features", "choice")):
        raise CorruptArtifact("The manifest beside the model is that of another.")
    strange = sorted(set(inside["features"]) - known_features())
    if strange:
        raise UnknownModel(f"it reads features that this program does not make: {strange[:5]}")
    return model
