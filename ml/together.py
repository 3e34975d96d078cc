"""Trees of several boosters, answered in one pass over the rows.

Filling the rows into xgboost's buffers is paid once for all of them, and rows without unknown
values take its shorter way down the trees. An unknown value goes, at each node, the way that
training gave it; a value below or above all others goes the same way. So each column that trees
read comes with minus infinity in the place of what is unknown, or with infinity, or once with each.
Margins have the bits that each booster alone would give.
"""

import copy
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xgboost as xgb

from ml.arrays import F32, I64
from ml.booster import Booster

Plain = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Together:
    """Joined trees: `places` are columns of the rows given, `unknown` stands for NaN in them."""

    model: xgb.Booster
    places: I64
    unknown: F32

    def margins(self, values: F32, room: "Room | None" = None) -> F32:
        """Margins [rows, boosters] of rows of the columns that training had; on one thread."""
        room = room or Room(len(values), self)
        rows, missing = room.rows[: len(values)], room.missing[: len(values)]
        # "clip", because the default mode works in a copy of its own; no place is out of range.
        np.take(values, self.places, axis=1, out=rows, mode="clip")
        np.isnan(rows, out=missing)
        np.copyto(rows, self.unknown, where=missing)
        margins = self.model.inplace_predict(rows, predict_type="margin", missing=np.nan)
        return np.asarray(margins, dtype=np.float32).reshape(len(values), -1)

    def reading(self, places: I64) -> "Together":
        """The same for rows of other columns, in which those of training lie at `places`."""
        return replace(self, places=places[self.places])


class Room:
    """Memory for rows on their way through the trees: fresh pages cost more than filling them."""

    def __init__(self, most: int, trees: Together) -> None:
        """Room for so many rows at the most."""
        self.rows = np.empty((most, len(trees.places)), dtype=np.float32)
        self.missing = np.empty(self.rows.shape, dtype=np.bool_)


def join(boosters: list[Booster]) -> Together:
    """Boosters of whatever objectives that read the same columns, as one."""
    documents = [_document(booster) for booster in boosters]
    starts = [_start(document) for document in documents]
    trees = [tree for document in documents for tree in _forest(document)["trees"]]
    owner = [at for at, one in enumerate(documents) for _ in _forest(one)["trees"]]
    columns: dict[tuple[int, int], int] = {}
    for place, tree in enumerate(trees):
        tree["id"] = place
        tree["split_indices"] = [
            # Leaves read nothing; their entry must only be some column.
            columns.setdefault((column, least), len(columns)) if left >= 0 else 0
            for column, least, left in zip(
                tree["split_indices"], tree["default_left"], tree["left_children"], strict=True
            )
        ]
    read = list(columns) or [(0, 0)]
    for tree in trees:
        tree["tree_param"]["num_feature"] = str(len(read))
    joined = documents[0]
    _forest(joined).update(
        trees=trees,
        tree_info=owner,
        iteration_indptr=[0, len(trees)],
        gbtree_model_param={"num_parallel_tree": "1", "num_trees": str(len(trees))},
    )
    joined["learner"].update(
        feature_names=[],
        feature_types=[],
        # Margins as they are: each booster's own objective is of no matter here.
        objective={"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
        learner_model_param={
            "base_score": json.dumps(starts),
            "boost_from_average": "1",
            "num_class": "0",
            "num_feature": str(len(read)),
            "num_target": str(len(documents)),
        },
    )
    unknown = [-np.inf if least else np.inf for _, least in read]
    places = np.array([column for column, _ in read], dtype=np.int64)
    return Together(_loaded(joined), places, np.array(unknown, dtype=np.float32))


def _document(booster: Booster) -> Plain:
    found: Plain = json.loads(bytes(booster.model.save_raw("json")))
    return found


def _forest(document: Plain) -> Plain:
    forest: Plain = document["learner"]["gradient_booster"]["model"]
    return forest


def _start(document: Plain) -> float:
    """The margin before the first tree, as xgboost itself has it: that of a leaf worth nothing."""
    bare = copy.deepcopy(document)
    forest = _forest(bare)
    leaf: Plain = {
        name: value[:1] if isinstance(value, list) else value
        for name, value in forest["trees"][0].items()
    }
    leaf |= {"id": 0, "left_children": [-1], "right_children": [-1], "split_conditions": [0.0]}
    leaf["tree_param"]["num_nodes"] = "1"
    forest.update(
        trees=[leaf],
        tree_info=[0],
        iteration_indptr=[0, 1],
        gbtree_model_param={"num_parallel_tree": "1", "num_trees": "1"},
    )
    columns = int(document["learner"]["learner_model_param"]["num_feature"])
    row = np.zeros((1, columns), dtype=np.float32)
    return float(_loaded(bare).inplace_predict(row, predict_type="margin")[0])


def _loaded(document: Plain) -> xgb.Booster:
    model = xgb.Booster()
    model.load_model(bytearray(json.dumps(document).encode()))
    model.set_param({"nthread": 1})
    return model
