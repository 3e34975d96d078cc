"""The `linli` command."""

import os

# The models run their own threads; BLAS threads beside them only wait for each other's core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
