"""Uplift: what it measures by slow oracles, what it learns of made-up effects, and a real trial."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import build
from ml.effects import FORMAT, from_plain
from ml.errors import CorruptArtifact, TooLittleHistory, UnreadableFile
from ml.trials import Asked, read_trial
from ml.uplift import (
    LEARNERS,
    USED,
    Trial,
    across_folds,
    ensemble,
    judge,
    learn,
    qini,
    qini_curve,
    uplift_at,
)
from tests.ml.small_shop import real_data

MEMBERS = 6_000
WOMEN = Asked("segment", "visit", "Womens E-Mail", "No E-Mail", ("conversion", "spend"))


def a_trial(*, effect: float, seed: int = 0, members: int = MEMBERS) -> Trial:
    """Half are treated by lot; it helps those alone whose first value is positive."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(members, 4)).astype(np.float32)
    treated = random.random(members) < 0.5
    chance = 0.2 + 0.1 * (values[:, 1] > 0) + effect * treated * (values[:, 0] > 0)
    return Trial(values, treated, (random.random(members) < chance).astype(np.float64))


def slow_curve(trial: Trial, effect: np.ndarray) -> list[tuple[int, float]]:
    """The same by a loop over everyone, group of ties by group of ties."""
    points = [(0, 0.0)]
    for level in sorted(set(effect.tolist()), reverse=True):
        chosen = effect >= level
        with_it, without = chosen & trial.treated, chosen & ~trial.treated
        missed = trial.outcome[without].sum()
        scale = with_it.sum() / without.sum() if without.sum() else 0.0
        points.append((int(chosen.sum()), float(trial.outcome[with_it].sum() - missed * scale)))
    return points


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_is_what_a_loop_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    trial = a_trial(effect=0.3, seed=seed, members=60)
    effect = np.round(random.normal(size=60), random.integers(0, 3))
    members, gained = qini_curve(trial, effect)
    slow_members, slow_gained = zip(*slow_curve(trial, effect), strict=True)
    assert members.tolist() == list(slow_members)
    assert gained.tolist() == pytest.approx(list(slow_gained))


def test_qini_is_0_for_one_score_and_1_for_whoever_knows() -> None:
    trial = a_trial(effect=0.3)
    assert qini(trial, np.zeros(len(trial))) == pytest.approx(0, abs=1e-12)
    assert qini(trial, trial.outcome * np.where(trial.treated, 1, -1)) == pytest.approx(1)


@pytest.mark.parametrize("name", LEARNERS)
def test_each_learner_finds_whom_it_helps(name: str) -> None:
    trial = a_trial(effect=0.3)
    effect = across_folds(trial, LEARNERS[name])
    assert judge(name, trial, effect, rounds=50).is_better_than_chance
    assert uplift_at(trial, effect, 0.3) > 0.2
    helped = trial.values[:, 0] > 0
    assert effect[helped].mean() - effect[~helped].mean() > 0.15
    assert effect.mean() == pytest.approx(trial.effect, abs=0.03)


def test_a_ranking_that_is_chance_is_not_gone_by() -> None:
    random = np.random.default_rng(4)
    trial = a_trial(effect=0.0)
    found = learn(trial, rounds=50)
    if not found.judgement.is_better_than_chance:
        chosen = found.treat(trial.values, cost=found.mean_effect - 0.01, share=0.25)
        assert chosen.sum() == len(trial) // 4
        assert not found.treat(trial.values, cost=found.mean_effect + 0.01).any()
    noise = judge("noise", trial, random.normal(size=len(trial)), rounds=100)
    assert noise.qini.low < 0 < noise.qini.high


def test_the_persuadable_are_treated_and_the_rest_left() -> None:
    trial = a_trial(effect=0.4)
    found = learn(trial, rounds=50)
    chosen = found.treat(trial.values, cost=0.2)
    assert trial.values[chosen, 0].mean() > 0.5 > 0 > trial.values[~chosen, 0].mean()
    few = found.treat(trial.values, share=0.1)
    assert few.sum() <= len(trial) // 10
    assert found.effect(trial.values)[few].min() >= np.quantile(found.effect(trial.values), 0.89)


def test_the_same_seed_gives_the_same_figures() -> None:
    trial = a_trial(effect=0.2, members=2_000)
    assert learn(trial, rounds=20).judgements == learn(trial, rounds=20).judgements


def test_a_model_is_text_and_comes_back_as_it_was() -> None:
    trial = a_trial(effect=0.2, members=2_000)
    for learner in LEARNERS.values():
        effect = learner(trial)
        again = from_plain(json.loads(json.dumps(effect.plain())))
        assert np.array_equal(effect(trial.values), again(trial.values))
    for spoilt in ({}, {"format": "another"}, {"format": FORMAT, "terms": [{"factor": 1}]}):
        with pytest.raises(CorruptArtifact):
            from_plain(spoilt)


def test_the_mean_is_used_whichever_learner_happens_to_rank_best() -> None:
    found = learn(a_trial(effect=0.3, members=2_000), rounds=20)
    assert found.judgement.learner == USED
    assert {one.learner for one in found.judgements} == set(LEARNERS)


def test_an_arm_that_is_too_small_is_refused() -> None:
    trial = a_trial(effect=0.2, members=300)
    with pytest.raises(TooLittleHistory, match="200 are needed"):
        learn(trial)


def test_a_file_without_the_columns_says_which_it_has(tmp_path: Path) -> None:
    file = tmp_path / "trial.csv"
    file.write_text("arm,bought,age\n1,0,30\n0,1,40\n")
    with pytest.raises(UnreadableFile, match="no column group or came; it has: arm, bought, age"):
        read_trial(file, Asked("group", "came", "1", "0"))
    read = read_trial(file, Asked("arm", "bought", "1", "0"))
    assert read.columns == ("age",)
    assert read.trial.treated.tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"arm,bought,bought,age\n1,0,0,30\n", "several columns named bought"),
        (b"arm,bought,age\n", "no row whose arm is 1 or 0"),
        (b"arm,bought,age\n2,1,30\n", "no row whose arm is 1 or 0"),
        (b"arm,bought,age\n1,inf,30\n0,1,40\n", "numbers that are not finite"),
        (b"arm,bought,age\n1,yes,30\n0,no,40\n", "not of numbers"),
        (b"a\n\x1b[31m,\x07,\n", r"cannot be read: [^\x00-\x1f]*$"),
    ],
)
def test_odd_trials_are_refused_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "trial.csv"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=said):
        read_trial(file, Asked("arm", "bought", "1", "0"))


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_all_measure_are_unknown(tmp_path: Path) -> None:
    file = tmp_path / "trial.csv"
    file.write_text("arm,bought,age\n1,0,1e308\n0,1,-inf\n1,1,7\n")
    values = read_trial(file, Asked("arm", "bought", "1", "0")).trial.values
    assert np.isnan(values[:2]).all()
    assert values[2] == 7


def test_a_randomised_mailing_of_a_real_shop() -> None:
    """Hillstrom's trial, women's mail, visits: ten halves at random, fitted on one of each."""
    trial = read_trial(real_data("hillstrom.csv.gz"), WOMEN).trial
    assert len(trial) == 42_693
    assert trial.effect == pytest.approx(0.0452, abs=1e-4)
    figures: list[tuple[float, float]] = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(trial))
        mine, other = trial.only(order[: len(order) // 2]), trial.only(order[len(order) // 2 :])
        effect = ensemble(mine)(other.values)
        figures.append((qini(other, effect), uplift_at(other, effect, 0.3)))
    mean_qini, mean_first = np.mean(figures, axis=0)
    assert mean_qini > 0.065
    assert mean_first > 0.074


def test_the_command_tells_it_and_draws_it(tmp_path: Path) -> None:
    trial = a_trial(effect=0.3, members=3_000)
    file = tmp_path / "trial.csv"
    rows = [
        f"{int(treated)},{int(outcome)},{values[0]:.4f},{values[1]:.4f}"
        for treated, outcome, values in zip(trial.treated, trial.outcome, trial.values, strict=True)
    ]
    file.write_text("\n".join(["arm,bought,first,second", *rows]))
    plot, dump = tmp_path / "qini.png", tmp_path / "effects.csv"
    asked = ["uplift", str(file), "--treatment", "arm", "--outcome", "bought"]
    done = CliRunner().invoke(build("uplift"), [*asked, "--plot", str(plot), "--dump", str(dump)])
    assert done.exit_code == 0, done.output
    assert "better than chance" in done.output
    images = {plot.read_bytes()}
    for words in ("zh", "en"):
        again = [*asked, "--plot", str(plot), "--lang", words]
        assert CliRunner().invoke(build("uplift"), again).exit_code == 0
        images.add(plot.read_bytes())
    assert len(images) == 2, "one of the two is that of the locale"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert len(dump.read_text().splitlines()) == 3_001
    wrong = CliRunner().invoke(build("uplift"), [*asked[:2], "--treatment", "x", "--outcome", "y"])
    assert wrong.exit_code == 2
