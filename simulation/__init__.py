"""An invented neighbourhood platform for people to look at: see docs/simulator.md.

Imports nothing but numpy and the standard library. Not evidence of anything: no model's quality may
be claimed from these data.
"""

from simulation.goods import CATEGORIES, GOODS, Goods
from simulation.persuasion import Measures
from simulation.tables import Block, Table
from simulation.world import MONTH, Latent, World

__all__ = ["CATEGORIES", "GOODS", "MONTH", "Block", "Goods", "Latent", "Measures", "Table", "World"]
