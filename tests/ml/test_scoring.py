import math
from dataclasses import replace

import numpy as np

from ml.arrays import DAY
from ml.artifact import Artifact
from ml.explain import MOST
from ml.facts import Facts
from ml.scoring import score
from tests.ml.conftest import AS_OF
from tests.ml.small_shop import joined, shop


def test_rows_after_the_day_change_no_bit(facts: Facts, artifact: Artifact):
    later = shop(members=430, seed=5)
    moved = replace(
        later,
        order_at=later.order_at % (60 * DAY) + AS_OF,
        event_at=later.event_at % (60 * DAY) + AS_OF,
        order_refund_at=later.order_refund_at,
    )
    alone = score(artifact, facts.before(AS_OF), as_of=AS_OF)
    together = score(artifact, joined(facts, moved), as_of=AS_OF)
    assert alone.members.tobytes() == together.members.tobytes()
    assert alone.probability.tobytes() == together.probability.tobytes()
    assert alone.reasons == together.reasons


def test_probabilities_are_probabilities_and_vary(facts: Facts, artifact: Artifact):
    scores = score(artifact, facts, as_of=AS_OF)
    assert scores.probability.dtype == np.float64
    assert len(scores.members) == len(scores.probability) == len(scores.reasons)
    assert 0 < scores.probability.min() < 0.4
    assert 0.6 < scores.probability.max() < 1


def test_only_the_riskiest_fifth_get_reasons(facts: Facts, artifact: Artifact):
    scores = score(artifact, facts, as_of=AS_OF)
    told = [row for row, reasons in enumerate(scores.reasons) if reasons]
    riskiest = math.ceil(0.2 * len(scores.members))
    assert 0 < len(told) <= riskiest
    silent = np.sort(scores.probability)[-riskiest]
    assert all(scores.probability[row] >= silent for row in told)
    assert all(len(reasons) <= MOST for reasons in scores.reasons)
    assert len(told) > 0.9 * riskiest
    none = score(artifact, facts, as_of=AS_OF, reasons_for=0)
    assert not any(none.reasons)


def test_nobody_above_a_threshold_goes_without_a_reason(facts: Facts, artifact: Artifact):
    scores = score(artifact, facts, as_of=AS_OF, reasons_for=0.01, reasons_above=0.3)
    above = scores.probability >= 0.3
    assert above.sum() > 0.1 * len(above)
    without = [row for row, reasons in enumerate(scores.reasons) if above[row] and not reasons]
    assert not without


def test_a_member_scored_alone_gets_the_same_probability(facts: Facts, artifact: Artifact):
    scores = score(artifact, facts, as_of=AS_OF)
    for row in (0, 7, len(scores.members) - 1):
        alone = score(artifact, facts, as_of=AS_OF, members=scores.members[row : row + 1])
        assert alone.probability[0] == scores.probability[row]


def test_no_members_no_scores(facts: Facts, artifact: Artifact):
    nobody = score(artifact, facts, as_of=AS_OF, members=np.empty(0, np.int32))
    assert len(nobody.probability) == 0
    assert nobody.reasons == []


def test_reasons_are_weighty_in_order_and_true(facts: Facts, artifact: Artifact):
    scores = score(artifact, facts, as_of=AS_OF, reasons_for=1.0)
    checked = set[str]()
    for member, reasons in zip(scores.members, scores.reasons, strict=True):
        weights = [reason.weight for reason in reasons]
        assert weights == sorted(weights, reverse=True)
        assert len({reason.code for reason in reasons}) == len(reasons)
        mine = facts.order_member == member
        days = sorted({int(at) // DAY for at in facts.order_at[mine] if at < AS_OF})
        ages = [AS_OF // DAY - day for day in days]
        for reason in reasons:
            checked.add(reason.code)
            recent = sum(1 for age in ages if age <= 30)
            before = sum(1 for age in ages if 30 < age <= 60)
            if reason.code == "no_order":
                assert f"已{min(ages)}天" in reason.zh
                assert f"for {min(ages)} days" in reason.en
            if reason.code == "orders_fell":
                percent = (before - recent) * 100 // before
                assert reason.zh == f"近30天下单减少{percent}%"
                assert reason.en == f"Orders in the last 30 days fell by {percent}%"
            if reason.code == "orders_stopped":
                assert recent == 0
                assert f"有{before}天" in reason.zh
            if reason.code == "single_order":
                assert len(days) == 1
            if reason.code == "few_orders":
                assert f"只有{sum(1 for age in ages if age <= 180)}天" in reason.zh
    assert {"no_order", "orders_fell", "single_order"} <= checked
