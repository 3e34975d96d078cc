"""Made-up facts for the tests of the models, and where the real ones are."""

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from ml.arrays import DAY
from ml.facts import BROWSE, NEVER, SESSION, Facts

START = 1_600_000_000 // DAY * DAY


def shop(members: int = 400, days: int = 420, seed: int = 1, events: bool = True) -> Facts:
    """Members who order at their own rate, leave at random, and browse around their orders."""
    random = np.random.default_rng(seed)
    joined = random.uniform(0, days * 0.7, members)
    left = np.minimum(joined + random.exponential(200, members), days)
    number = random.poisson(random.gamma(1.0, 1 / 15, members) * (left - joined)) + 1
    owner = np.repeat(np.arange(members, dtype=np.int32), number)
    at = joined[owner] + random.uniform(0, 1, len(owner)) * (left - joined)[owner]
    fen = random.integers(500, 20_000, len(owner))
    refunded = random.uniform(size=len(owner)) < 0.05
    order_at = START + (at * DAY).astype(np.int64)
    facts = Facts(
        member_ids=np.arange(members),
        order_member=owner,
        order_at=order_at,
        order_fen=fen,
        order_items=random.integers(1, 6, len(owner)),
        order_discount_fen=random.integers(0, 400, len(owner)),
        order_refund_fen=np.where(refunded, fen // 2, 0),
        order_refund_at=np.where(refunded, order_at + 5 * DAY, NEVER),
    )
    if not events:
        return facts
    order = np.repeat(np.arange(len(owner)), 3)
    return replace(
        facts,
        event_member=owner[order],
        event_at=order_at[order] - random.integers(0, 6 * DAY, len(order)),
        event_kind=random.choice([SESSION, BROWSE], len(order)),
        event_seconds=random.integers(5, 600, len(order)),
    )


def joined(first: Facts, second: Facts) -> Facts:
    """The rows of both; the second's member codes are appended where they are new."""
    columns = {
        column.name: np.concatenate([getattr(first, column.name), getattr(second, column.name)])
        for column in fields(Facts)
        if column.name.startswith(("order_", "event_"))
    }
    ids = np.arange(max(len(first.member_ids), len(second.member_ids)))
    return replace(first, member_ids=ids, **columns)


def real_data(name: str) -> Path:
    """A file of the real data, or a skip that says where it was looked for."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("LINLI_REAL_DATA", beside))
    if not (folder / name).exists():
        pytest.skip(f"{name} is not in {folder}; set LINLI_REAL_DATA to the folder that has it")
    return folder / name
