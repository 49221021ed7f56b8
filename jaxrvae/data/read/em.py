"""Electron microscopes' own formats, through RosettaSciIO (the `io` extra)."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.images import (
    Opened,
    choose,
    opened,
    square,
    to_nm,
    unreadable,
)


def open_dm(path: Path, channel: int | str | None) -> Opened:
    """The only image of a Gatan file, or the one whose title `channel` names."""
    name, signal = _signal(path, channel, lazy=True)
    axes = [axis for axis in signal["axes"] if not axis.get("navigate")][-2:]
    if len(axes) < 2:
        raise DataError(
            f"{path}: expected images; got a spectrum or spectrum image ({name!r})."
        )
    y, x = (to_nm(float(axis["scale"]), axis["units"]) for axis in axes)

    def load(index: int) -> np.ndarray:
        data: Any = _signal(path, channel, lazy=True)[1]["data"]
        data = data if data.ndim == 2 else data[index]
        return np.asarray(data)

    data = signal["data"]
    return opened(
        path,
        data.shape,
        data.dtype,
        load,
        channel,
        square(path, x, y),
        metadata=signal.get("original_metadata", {}),
    )


def _signal(
    path: Path, channel: int | str | None, lazy: bool
) -> tuple[str, dict[str, Any]]:
    try:
        from rsciio.digitalmicrograph import file_reader
    except ImportError as error:
        raise DataError(
            f"{path}: reading {path.suffix} files needs RosettaSciIO, which is not"
            ' installed. Install it with: pip install "jaxrvae[io]"'
        ) from error
    try:
        signals = file_reader(str(path), lazy=lazy)
    except Exception as error:  # the reader raises whatever a damaged file leads it to
        raise DataError(unreadable(path, error)) from error
    titled = {
        str(one["metadata"].get("General", {}).get("title") or i): one
        for i, one in enumerate(signals)
    }
    name = choose(path, list(titled), channel)
    return name, titled[name]
