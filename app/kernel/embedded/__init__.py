"""PostgreSQL and Valkey as child processes, for a machine that has neither.

`stores(data_dir)` is what commands use; tests and the supervisor start servers themselves.
"""

from app.kernel.embedded.database import create_database, drop_database, with_database
from app.kernel.embedded.errors import (
    BinaryMissing,
    DataHeld,
    DiskFull,
    EmbeddedError,
    ForeignFiles,
    NotWritable,
    RootUnsupported,
    StoreFailed,
    WrongMajor,
)
from app.kernel.embedded.lock import Hold, hold
from app.kernel.embedded.postgres import PostgresServer, start_postgres
from app.kernel.embedded.stores import Stores, run_stores, stores
from app.kernel.embedded.valkey import ValkeyServer, start_valkey

__all__ = [
    "BinaryMissing",
    "DataHeld",
    "DiskFull",
    "EmbeddedError",
    "ForeignFiles",
    "Hold",
    "NotWritable",
    "PostgresServer",
    "RootUnsupported",
    "StoreFailed",
    "Stores",
    "ValkeyServer",
    "WrongMajor",
    "create_database",
    "drop_database",
    "hold",
    "run_stores",
    "start_postgres",
    "start_valkey",
    "stores",
    "with_database",
]
