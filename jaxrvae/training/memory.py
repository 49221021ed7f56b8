"""How much of a device's memory a program may take, and in how many parts it fits."""

import math
import os
from collections.abc import Callable
from typing import Any

SHARE = 0.8  # of what an accelerator has free, that a program may take
HOST_SHARE = 0.5  # of the machine's memory, which others need as well


def room(device: Any) -> float:
    """Bytes that a program may take on the device beside what lies there."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return HOST_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def fewest_parts(
    compiled: Callable[[int], Any],
    batch_size: int,
    free: float,
    agreed: Callable[[bool], bool],
) -> Any:
    """The program that takes a batch in as few equal parts as fit in memory.

    Where one image at a time does not fit, that program is given back: the device says
    itself what it lacks.

    Args:
        compiled: Number of parts to the program, compiled.
        batch_size: On one device.
        free: Bytes.
        agreed: What one process finds to what all take.
    """
    parts = 1
    while True:
        program = compiled(parts)
        needed = taken(program)
        if parts == batch_size or agreed(needed <= free):
            return program
        # What a part takes falls with its images, but never faster than they do.
        least = min(max(parts + 1, math.ceil(parts * needed / free)), batch_size)
        parts = next(n for n in range(least, batch_size + 1) if batch_size % n == 0)


def taken(program: Any) -> float:
    """Bytes of a compiled program beside what it is given; 0: it does not say."""
    analysis = program.memory_analysis()
    return 0.0 if analysis is None else float(analysis.temp_size_in_bytes)
