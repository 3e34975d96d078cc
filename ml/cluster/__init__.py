"""Training and scoring on several machines by Dask: each worker reads some of the members.

A `Read` says how a worker comes to the facts of a part of the members. What depends on a
member's own facts (features, outcomes, scores, reasons) is made where they were read; what is
fitted is fitted to sums over the parts, or where the parts are. Whoever calls holds which members
are at stake, one bit each, and rows of one cutoff at the most. Dask is an extra, imported here
alone.
"""

from ml.cluster.connecting import connected
from ml.cluster.parts import Part, Parts, Read, opened
from ml.cluster.past import SPREAD_FROM, ClusterPast, SpreadRows
from ml.cluster.scoring import PartScores, features_drift, reference, score
from ml.cluster.training import compare, train

__all__ = [
    "SPREAD_FROM",
    "ClusterPast",
    "Part",
    "PartScores",
    "Parts",
    "Read",
    "SpreadRows",
    "compare",
    "connected",
    "features_drift",
    "opened",
    "reference",
    "score",
    "train",
]
