"""Linli 邻里: membership and retention for community commerce."""

__version__ = "0.1.0"
