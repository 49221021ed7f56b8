"""Growth of domains and motion of walls, from tables of frames and of contents."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Float, Number, ndarray


def wall_velocity(
    domains: pd.DataFrame,
    bias: Float[ndarray, " frame"],
    frame_time: Number = 1.0,
) -> pd.DataFrame:
    """Mean velocity of the walls towards negative domains, frame by frame.

    It is the area gained over the length of the walls, which is the mean of before
    and after.

    Args:
        domains: A row a frame, in order: frame, length, grown (as `measure_domains`).
        bias: Of each frame.
        frame_time: From frame to frame, any unit.

    Returns:
        A row a frame but the first: frame, bias, velocity (length's unit over time's).

    >>> domains = pd.DataFrame({"frame": [0, 1], "length": [8.0, 12.0]})
    >>> wall_velocity(domains.assign(grown=[np.nan, 5.0]), np.ones(2))["velocity"][0]
    np.float64(0.5)
    """
    positive("frame_time", frame_time)
    missing = [name for name in ("frame", "length", "grown") if name not in domains]
    if missing or len(domains) < 2 or len(bias) != len(domains):
        raise DataError(
            f"expected >= 2 frames with length, grown and a bias each; got"
            f" {len(domains)} frames of {list(domains.columns)} and {len(bias)} biases."
        )
    length = domains["length"].to_numpy(float)
    mean = (length[1:] + length[:-1]) / 2
    grown = domains["grown"].to_numpy(float)[1:] / frame_time
    velocity = np.where(mean > 0, grown / np.where(mean > 0, mean, 1.0), np.nan)
    return pd.DataFrame(
        {
            "frame": domains["frame"].to_numpy()[1:],
            "bias": np.asarray(bias)[1:],
            "velocity": velocity,
        }
    )


def content_motion(
    maps: Float[ndarray, "frame row col latent"],
) -> Float[ndarray, "step row col"]:
    """How far the content of each place moves from frame to frame.

    In standard deviations of each coordinate over all places and frames, so that
    coordinates count alike. Where a wall passes, the content goes from one domain's to
    the wall's and on to the other's; where it waits, the content repeats.

    Args:
        maps: Dense contents of aligned frames; NaN where not known.
    """
    if len(maps) < 2:
        raise DataError(f"expected >= 2 frames; got {len(maps)}.")
    spread = np.nanstd(maps, axis=(0, 1, 2))
    scaled = maps / np.where(spread > 0, spread, 1.0)
    return np.linalg.norm(np.diff(scaled, axis=0), axis=-1)
