"""Drops: the face of the slice."""

from app.drops.tables import Claim, Drop, DropState

__all__ = ["Claim", "Drop", "DropState"]
