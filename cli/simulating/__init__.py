"""A world's neutral facts on their way into the database."""

from cli.simulating.load import Loaded, Report, simulate_into

__all__ = ["Loaded", "Report", "simulate_into"]
