"""Packs, gifts and birthdays: the face of the slice."""
