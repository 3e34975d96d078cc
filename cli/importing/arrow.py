"""Names for Arrow's types: pyarrow carries none that a type checker can read."""

from typing import Any, TypeAlias

ArrowArray: TypeAlias = Any
ArrowTable: TypeAlias = Any
