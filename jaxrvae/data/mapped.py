"""Arrays whose values lie in a file that is mapped into memory."""

import mmap
import os
from typing import Any

import numpy as np

from jaxrvae._checks import RunError
from jaxrvae._typing import Int, ndarray


def is_on_disk(values: ndarray) -> bool:
    """Whether the array's values lie in a mapped file."""
    return _map_of(values) is not None


def read_rows(values: ndarray, index: Int[ndarray, "..."]) -> ndarray:
    """`values[index]`; of a mapped file by reading, which maps none of its pages.

    A page that is touched may bring megabytes around it into the process's memory.
    """
    place = _place_of(values)
    if place is None:
        return values[index]
    file, start = place
    found = np.empty((index.size, *values.shape[1:]), values.dtype)
    size, flat = values[:1].nbytes, found.reshape(index.size, -1).view(np.uint8)
    with open(file, "rb", buffering=0) as held:
        for row, number in zip(flat, index.ravel().tolist(), strict=True):
            got = os.preadv(held.fileno(), [row.data], start + number * size)
            if got != size:
                raise RunError(
                    f"{file}: expected {size} bytes of image {number}; got {got}. The"
                    " file was changed or is damaged: cut the patches again."
                )
    return found.reshape(*index.shape, *values.shape[1:])


def sample_rows(given: dict[str, ndarray], number: int) -> dict[str, ndarray]:
    """At most so many rows of every array, evenly spread; the same of all."""
    total = len(next(iter(given.values())))
    chosen = np.arange(0, total, -(-total // number))
    return {name: read_rows(values, chosen) for name, values in given.items()}


def _place_of(values: ndarray) -> tuple[str, int] | None:
    """The file that whole rows lie in one after the other, and where they begin."""
    held: Any = values
    while isinstance(held, np.ndarray) and not isinstance(held, np.memmap):
        held = held.base
    plain = isinstance(held, np.memmap) and held.filename is not None
    if not plain or values.flags.writeable or not values.flags.c_contiguous:
        return None
    mapped = _map_of(values)
    if mapped is None:
        return None
    begins = held.offset - held.offset % mmap.ALLOCATIONGRANULARITY  # the map, there
    whole = np.frombuffer(mapped, np.uint8, 1)
    ends = [part.__array_interface__["data"][0] for part in (whole, values)]
    return str(held.filename), begins + ends[1] - ends[0]


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
