import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml import artifact as artifacts
from ml.arrays import DAY
from ml.artifact import Artifact
from ml.errors import CorruptArtifact
from ml.facts import Facts
from ml.ladder import SIMPLE, Rung
from ml.opening import read_model
from ml.samples import Past, Plan
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
    assert set(manifest["sha256"]) == {"booster.ubj", "models.json", "waits.ubj"}
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


@pytest.mark.parametrize(
    "name", ["booster.ubj", "models.json", "waits.ubj", "manifest.json", "manifest.sha256"]
)
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


def to_first_format(folder: Path) -> None:
    """What the program wrote before it knew CNBD-k, weights and waits."""
    (folder / "waits.ubj").unlink()
    models = json.loads((folder / "models.json").read_text())
    models = {"purchases": models["purchases"]["bgnbd"], "logistic": models["logistic"]}
    (folder / "models.json").write_text(json.dumps(models))
    manifest = json.loads((folder / "manifest.json").read_text())
    sums = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("booster.ubj", "models.json")
    }
    manifest |= {"format": 1, "sha256": sums, "choice": "mean", "shift": 0.0}
    text = json.dumps(manifest)
    (folder / "manifest.json").write_text(text)
    seal = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.sha256").write_text(seal + "\n")


def test_a_model_of_the_first_format_scores_by_its_even_mean(
    tmp_path: Path, facts: Facts, artifact: Artifact
):
    artifact.save(tmp_path)
    to_first_format(tmp_path)
    old = artifacts.load(tmp_path)
    matrix = Past(facts, Plan()).matrix(AS_OF)
    odds = old.models.log_odds(matrix, threads=1)
    even = (odds["bgnbd"] + odds["logistic"] + odds["xgboost"]) / 3
    assert np.allclose(odds["mean"], even)
    bgnbd = artifact.models.log_odds(matrix, threads=1)["bgnbd"]
    assert score(old, facts, as_of=AS_OF).next_order_days.shape == bgnbd.shape
    assert np.isnan(score(old, facts, as_of=AS_OF).next_order_days).all()


def to_second_format(artifact: Artifact) -> Artifact:
    """What the program made before it knew `logistic_rfm`."""
    models = replace(artifact.models, logistic_rfm=None)
    return replace(artifact, models=models, choice="mean", shift=0.1)


def test_a_model_of_the_second_format_keeps_its_bytes_and_scores(facts: Facts, artifact: Artifact):
    old = to_second_format(artifact)
    assert old.manifest()["format"] == 2
    again = artifacts.from_bytes(old.to_bytes())
    assert again.to_bytes() == old.to_bytes()
    assert again.models.logistic_rfm is None
    told = read_model(old.to_bytes(), old.manifest())
    matrix = Past(facts, Plan()).matrix(AS_OF)
    odds = artifact.models.log_odds(matrix, threads=1)
    assert np.allclose(told.models.log_odds(matrix, threads=1)["mean"], odds["mean"])
    assert "simple_mean" not in told.models.log_odds(matrix, threads=1)
    new = score(replace(artifact, choice="mean", shift=0.1), facts, as_of=AS_OF)
    assert score(told, facts, as_of=AS_OF).probability.tobytes() == new.probability.tobytes()


@pytest.mark.parametrize("choice", ["simple_mean", "logistic_rfm"])
def test_a_choice_that_the_format_does_not_have_is_damage(artifact: Artifact, choice: Rung):
    with pytest.raises(CorruptArtifact, match="format"):
        artifacts.from_bytes(replace(to_second_format(artifact), choice=choice).to_bytes())


def test_the_rfm_regression_comes_back_to_the_bit(facts: Facts, artifact: Artifact):
    again = artifacts.from_bytes(artifact.to_bytes())
    assert artifact.manifest()["format"] == 3
    matrix = Past(facts, Plan()).matrix(AS_OF)
    ours, theirs = (m.models.log_odds(matrix, threads=1) for m in (artifact, again))
    for rung in ("logistic_rfm", "simple_mean"):
        assert ours[rung].tobytes() == theirs[rung].tobytes()
    parts = [ours[rung] for rung in SIMPLE]
    assert np.allclose(ours["simple_mean"], sum(parts) / 3)


def test_a_model_that_lost_its_waits_is_damaged(tmp_path: Path, artifact: Artifact):
    artifact.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["sha256"]["waits.ubj"]
    text = json.dumps(manifest)
    (tmp_path / "manifest.json").write_text(text)
    seal = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "manifest.sha256").write_text(seal + "\n")
    with pytest.raises(CorruptArtifact, match=r"waits\.ubj"):
        artifacts.load(tmp_path)
