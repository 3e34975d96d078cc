from pathlib import Path

import pytest

from ml import artifact as artifacts
from ml.arrays import DAY
from ml.artifact import Artifact
from ml.errors import CorruptArtifact
from ml.facts import Facts
from ml.scoring import score
from tests.ml.conftest import AS_OF


def test_a_model_comes_back_from_bytes_and_scores_the_same(facts: Facts, artifact: Artifact):
    again = artifacts.from_bytes(artifact.to_bytes())
    assert again.about == artifact.about
    assert again.version == artifact.version
    ours, theirs = (score(model, facts, as_of=AS_OF) for model in (artifact, again))
    assert ours.probability.tobytes() == theirs.probability.tobytes()
    assert ours.reasons == theirs.reasons


def test_a_model_comes_back_from_a_folder(tmp_path: Path, artifact: Artifact):
    artifact.save(tmp_path / "model")
    artifact.save(tmp_path / "model")  # over an older one as well
    assert artifacts.load(tmp_path / "model").to_bytes() == artifact.to_bytes()


def test_the_manifest_says_what_the_model_is(artifact: Artifact):
    manifest = artifact.manifest()
    assert manifest["features"] == list(artifact.models.names)
    assert manifest["about"]["horizon_days"] == 45
    assert manifest["about"]["as_of"] == AS_OF
    assert manifest["about"]["window"][1] < AS_OF
    assert set(manifest["sha256"]) == {"booster.ubj", "models.json"}
    assert all(0 < m["roc_auc"] < 1 for m in manifest["about"]["metrics"].values())


def test_any_flipped_byte_is_found(artifact: Artifact):
    data = artifact.to_bytes()
    for place in [*range(64), *range(64, len(data), len(data) // 200)]:
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        with pytest.raises(CorruptArtifact):
            artifacts.from_bytes(bytes(damaged))


@pytest.mark.parametrize("length", [0, 5, 20, 40, 1000])
def test_a_cut_off_model_is_found(artifact: Artifact, length: int):
    with pytest.raises(CorruptArtifact):
        artifacts.from_bytes(artifact.to_bytes()[:length])


@pytest.mark.parametrize("name", ["booster.ubj", "models.json", "manifest.json", "manifest.sha256"])
def test_a_damaged_or_missing_file_is_found(tmp_path: Path, artifact: Artifact, name: str):
    artifact.save(tmp_path)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-9] + b"x" + data[-8:])
    with pytest.raises(CorruptArtifact):
        artifacts.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        artifacts.load(tmp_path)


def test_versions_differ_where_models_do(facts: Facts, artifact: Artifact):
    from ml.training import train

    assert train(facts, as_of=AS_OF - DAY).version != artifact.version
