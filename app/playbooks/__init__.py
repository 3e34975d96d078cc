"""Playbooks, what they do about alerts and what comes of it: the face of the slice."""

from app.playbooks.merging import merge

__all__ = ["merge"]
