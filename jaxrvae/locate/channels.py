"""One channel of frames that may have several."""

import numpy as np

from jaxrvae._checks import between
from jaxrvae._typing import Float
from jaxrvae.data.containers import Frame, Frames


def channel_index(movie: Frames, channel: int | str) -> int:
    """Where a channel stands among the movie's."""
    names = list(movie.channels)
    if isinstance(channel, str):
        if channel not in names:
            raise ValueError(f"channel must be one of {names}; got {channel!r}.")
        return names.index(channel)
    between("channel", channel, 0, len(names) - 1, f"The channels are {names}.")
    return channel


def plane(frame: Frame, channel: int) -> Float[np.ndarray, "height width"]:
    """One channel of a frame."""
    values = frame.values
    return np.asarray(values if values.ndim == 2 else values[..., channel], np.float64)
