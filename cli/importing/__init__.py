"""`linli import orders FILE` and `linli import events FILE`."""

from cli.importing.command import import_app

__all__ = ["import_app"]
