"""Linli 邻里: membership and retention for community commerce."""
