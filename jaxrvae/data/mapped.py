"""Arrays whose values lie in a file that is mapped into memory."""

import mmap
from typing import Any

import numpy as np

from jaxrvae._typing import ndarray


def is_on_disk(values: ndarray) -> bool:
    """Whether the array's values lie in a mapped file."""
    return _map_of(values) is not None


def let_go(values: ndarray) -> None:
    """Pages of a mapped file that were read leave the process's memory again.

    Only of what cannot be written to: copies on write would be lost.
    """
    held = _map_of(values, read_only=True)
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)


def _map_of(values: Any, read_only: bool = False) -> mmap.mmap | None:
    while isinstance(values, np.ndarray):
        if read_only and values.flags.writeable:
            return None
        values = values.base
    return values if isinstance(values, mmap.mmap) else None
