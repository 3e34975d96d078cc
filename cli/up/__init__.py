"""`linli up`: stores, migrations, demo, API, workers and scheduler under one supervisor."""

from cli.up.errors import (
    AddressRefused,
    LeftBehind,
    NotReady,
    PartEnded,
    PortTaken,
    StepFailed,
    UpError,
)
from cli.up.parts import Child
from cli.up.supervisor import Addresses, Plan, Step, supervise

__all__ = [
    "AddressRefused",
    "Addresses",
    "Child",
    "LeftBehind",
    "NotReady",
    "PartEnded",
    "Plan",
    "PortTaken",
    "Step",
    "StepFailed",
    "UpError",
    "supervise",
]
