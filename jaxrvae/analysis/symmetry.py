"""How far an image is unchanged by a turn."""

import numpy as np

from jaxrvae._typing import Float, Number, ndarray

ORDERS = (2, 3, 4, 5, 6, 8, 12)
NUM_ANGLES = 360


def rotational_symmetry(
    image: Float[ndarray, "height width"], least: Number = 0.85
) -> int:
    """The highest order n of rotation about the centre that the image nearly has.

    Of the image's power in its inscribed disc, without the part that no turn changes,
    a share of at least `least` must lie in multiples of the angular order n.

    Args:
        least: 1 for a perfect symmetry; noise and strain leave less.

    >>> y, x = np.mgrid[-16:17, -16:17] / 16
    >>> rotational_symmetry(np.real((x + 1j * y) ** 3)), rotational_symmetry(x)
    (3, 1)
    """
    shares = symmetry_shares(image)
    return max([n for n, share in shares.items() if share >= least], default=1)


def symmetry_orders(images: Float[ndarray, "n row col *channel"]) -> list[int]:
    """`rotational_symmetry` of every image, by its first channel."""
    planes = images if images.ndim == 3 else images[..., 0]
    return [rotational_symmetry(np.asarray(plane, float)) for plane in planes]


def symmetry_shares(image: Float[ndarray, "height width"]) -> dict[int, float]:
    """By order, the share of the angular power that a turn by 360/n leaves."""
    power = angular_power(image)[1:]
    total = power.sum()
    if not total > 0:
        return dict.fromkeys(ORDERS, 0.0)
    numbers = np.arange(1, len(power) + 1)
    return {n: float(power[numbers % n == 0].sum() / total) for n in ORDERS}


def angular_power(
    image: Float[ndarray, "height width"],
) -> Float[ndarray, " order"]:
    """Power by angular order in the inscribed disc, each ring by its area."""
    from scipy import ndimage

    height, width = image.shape
    reach = (min(height, width) - 1) / 2
    radii = np.arange(1.0, reach)
    angles = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    rows = (height - 1) / 2 - radii[:, None] * np.sin(angles)
    columns = (width - 1) / 2 + radii[:, None] * np.cos(angles)
    polar = ndimage.map_coordinates(
        np.asarray(image, np.float64), [rows, columns], order=1
    )
    waves = np.abs(np.fft.rfft(polar, axis=1)) ** 2
    return radii @ waves[:, : NUM_ANGLES // 4]
