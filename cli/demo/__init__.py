"""The demo: an invented neighbourhood in which something goes on, for a first look at Linli."""

from cli.demo.command import demo
from cli.demo.errors import DemoInProduction
from cli.demo.filling import Filled, fill_demo
from cli.demo.notes import demo_notes
from cli.demo.people import ACCOUNTS, PARTNER_KEY, STAR_OPENID, Account

__all__ = [
    "ACCOUNTS",
    "PARTNER_KEY",
    "STAR_OPENID",
    "Account",
    "DemoInProduction",
    "Filled",
    "demo",
    "demo_notes",
    "fill_demo",
]
