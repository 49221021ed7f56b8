"""What files say beside the pixels: kept whole, and the times and doses in it."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

DWELL_SECONDS = {  # keys without spaces, dots, underscores and case
    "dwelltime": 1.0,  # Velox: Scan.DwellTime
    "dwelltime(s)": 1.0,
    "pixeltime(s)": 1.0,
    "sampletime": 1e-6,  # Gatan: DigiScan.Sample Time
    "dwelltime(us)": 1e-6,
    "dwelltime(µs)": 1e-6,
    "pixeltime(us)": 1e-6,
    "pixeltime(µs)": 1e-6,
}
DOSE = re.compile(r"(electron)?dose\(?e-?(/|per)(å|a|angstrom|nm|m)(\^?2|²)\)?")
PER_SQUARE_ANGSTROM = {"å": 1.0, "a": 1.0, "angstrom": 1.0, "nm": 1e-2, "m": 1e-20}
DEPTH = 12  # levels of nesting that are kept


def described(original: Any, **known: Any) -> dict[str, Any]:
    """`original` as the file has it, `dwell_time` (s), `dose` (e/Å²) where stated.

    A dose counts only where its key says its unit. What is given as None is left out.

    >>> described({"Scan": {"DwellTime": "2e-06"}})["dwell_time"]
    2e-06
    >>> described({"dose (e/nm2)": 500})["dose"]
    5.0
    """
    original = plain(original)
    found: dict[str, Any] = {}
    for key, value in _leaves(original):
        key = re.sub(r"[\s_.\[\]]", "", key.lower())
        dose = DOSE.fullmatch(key)
        number = _positive(value) if dose or key in DWELL_SECONDS else None
        if number is not None and dose:
            found.setdefault("dose", number * PER_SQUARE_ANGSTROM[dose[3]])
        elif number is not None:
            found.setdefault("dwell_time", number * DWELL_SECONDS[key])
    stated = {key: value for key, value in known.items() if value is not None}
    return {"original": original, **found, **stated}


def plain(value: Any, depth: int = DEPTH) -> Any:
    """Dictionaries, lists, text and numbers; what is none of these as its text."""
    if isinstance(value, Mapping):
        if depth == 0:
            return {}
        return {str(key): plain(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, depth - 1) for inner in value] if depth else []
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), depth) if value.size <= 1000 else value.shape
    if isinstance(value, np.generic):
        return plain(value.item(), depth)
    if isinstance(value, bytes):
        return value.decode(errors="replace").rstrip("\0")
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, dict | list):
                yield from _leaves(value)
            else:  # a flat tree's dotted keys count by their last part
                yield key.rsplit(".", 1)[-1] if "(" not in key else key, value
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(value)


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None
