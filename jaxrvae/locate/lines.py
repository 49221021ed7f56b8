"""Jitter of scan lines along the fast scan: found, and undone."""

import dataclasses
import functools

import numpy as np

from jaxrvae._checks import positive, whole
from jaxrvae._typing import Complex, Float, Number
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.channels import channel_index
from jaxrvae.locate.drift import centred

BOX = (5, 3)  # waves along y and x over which power is averaged
LEAST = 3.0  # times the floor, from which on power is the sample's
ROUNDS = 8
GRID = 0.05  # pixels between the shifts that are tried
LEAKS = 1e-4  # of the strongest wave's power is in all others: the window's
SPREADS = 12  # standard deviations of jitter that are tried
SLOW = 16.0  # lines: what changes over more is the sample's and stays
TAPER = 0.1  # share of a line's length over which it is faded in and out


def correct_lines(
    movie: Frames | Frame, *, channel: int | str = 0, max_shift: Number = 3.0
) -> Frames | Frame:
    """Each line moved back along x by its jitter, the fast scan's noise.

    A line's shift is where it agrees best with what all the other lines say it should
    look like, found anew from lines so moved until they have settled. How far lines
    jitter is found as well, so that lines without contrast, and images too noisy to
    tell, stay as they are. What varies slowly from line to line is taken out of the
    shifts: tilted lattices and drift within a frame keep their shear, and jitter slower
    than some 16 lines stays too. Lines are moved by their Fourier series, which keeps
    their noise; the edges, as wide as the shift, are mirrored.

    The shifts stand in the frame's metadata as "line_shifts" (pixels a line, positive
    where the line lay too far to the right). Lazy frames stay lazy and do not say them:
    `find_line_shifts` of a frame's values does.

    Args:
        movie: Frames, or one frame; the fast scan is along x.
        channel: By which jitter is found; all channels are moved.
        max_shift: Largest jitter, pixels. Less than half the distance of neighbouring
            columns of atoms.

    Raises:
        DataError: A frame is uniform or holds values that are not finite.

    Source: Jones & Nellist 2013, doi:10.1017/S1431927613001402, for the aim; their
    method looks for the shifts line by line.

    >>> from jaxrvae.simulate import simulate
    >>> frame = simulate("graphene", num_frames=1, size=64)[0]
    >>> correct_lines(frame).shape
    (64, 64)
    """
    positive("max_shift", max_shift, "It is in pixels.")
    if isinstance(movie, Frame):
        whole("channel", channel, 0, "A single frame has no channel names.")
        return _corrected(movie, int(channel), float(max_shift))
    which = channel_index(movie, channel)
    frames = tuple(_corrected(frame, which, float(max_shift)) for frame in movie)
    return dataclasses.replace(movie, frames=frames)


def find_line_shifts(
    image: Float[np.ndarray, "height width"], max_shift: Number = 3.0
) -> Float[np.ndarray, " height"]:
    """Pixels that each line lies too far to the right."""
    wave, window = _waves(image.shape[1]), _window(image.shape[1])
    lines = np.fft.rfft((image - image.mean()) * window, axis=1)
    lines[:, 0] = 0
    shifts = np.zeros(len(image))
    for _ in range(ROUNDS):
        turn = np.exp(1j * wave * shifts[:, None])
        still = lines * turn
        guide = _guide(still)
        wrong = np.mean(np.abs(still - guide) ** 2, axis=0)
        wrong += LEAKS * np.mean(np.abs(still) ** 2, axis=0).max()
        found, error = _best(guide / wrong, lines, wave, float(max_shift))
        shifts = found - _slow(found, error)
    return shifts


def _guide(still: Complex[np.ndarray, "height wave"]) -> np.ndarray:
    """What each line should look like by all the others: the image, freed of noise.

    Jitter spreads a wave along x evenly over all waves along y, as noise does; what
    stands above that floor is the sample. The filter's share of a line in itself is
    taken out again.
    """
    from scipy.ndimage import uniform_filter1d

    size = 2 * len(still)  # padded, so that the ends do not meet
    spectrum = np.fft.fft(still, size, axis=0)
    power = np.abs(spectrum) ** 2
    floor = np.median(power, axis=0) / np.log(2) + 1e-30
    for axis, width in enumerate(BOX):
        power = uniform_filter1d(power, width, axis, mode="wrap")
    passed = np.where(power > LEAST * floor, 1 - floor / (power + 1e-30), 0)
    own = np.minimum(passed.mean(axis=0), 0.9)
    guide = np.fft.ifft(spectrum * passed, axis=0)[: len(still)]
    return (guide - own * still) / (1 - own)


def _best(
    guide: Complex[np.ndarray, "height wave"],
    lines: Complex[np.ndarray, "height wave"],
    wave: np.ndarray,
    max_shift: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each line's shift, by Bayes' theorem on a grid.

    The guide is given divided by the power of what it leaves. The prior is normal; its
    spread is that of the greatest evidence over all lines.
    """
    tried = np.arange(-max_shift, max_shift + GRID / 2, GRID)
    cross, phase = np.conj(guide) * lines, wave[:, None] * tried
    score = 2 * (np.real(cross) @ np.cos(phase) - np.imag(cross) @ np.sin(phase))
    likelihood = np.exp(score - score.max(axis=1, keepdims=True))
    spreads = np.geomspace(GRID / 5, max_shift / 2, SPREADS)
    priors = np.exp(-0.5 * (tried[:, None] / spreads) ** 2)
    priors /= priors.sum(axis=0)
    evidence = likelihood @ priors
    prior = priors[:, np.log(evidence + 1e-300).sum(axis=0).argmax()]
    weight = likelihood * prior
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ tried
    return mean, np.sqrt(np.maximum(weight @ tried**2 - mean**2, GRID**2 / 12))


def _slow(shifts: np.ndarray, error: np.ndarray) -> np.ndarray:
    """What of the shifts changes slowly, each line by what it tells."""
    from scipy.ndimage import gaussian_filter1d

    weight = 1 / error**2
    slow = gaussian_filter1d(shifts * weight, SLOW, mode="nearest")
    return slow / gaussian_filter1d(weight, SLOW, mode="nearest")


def _window(width: int) -> np.ndarray:
    place = (np.arange(width) + 0.5) / width
    edge = np.clip(np.minimum(place, 1 - place) / TAPER, 0, 1)
    return np.sin(np.pi / 2 * edge) ** 2


def _waves(width: int) -> np.ndarray:
    return 2 * np.pi * np.fft.rfftfreq(width)


def _corrected(frame: Frame, channel: int, max_shift: float) -> Frame:
    if callable(frame.source):
        read = functools.partial(_lazily, frame, channel, max_shift)
        return dataclasses.replace(frame, source=read)
    shifts = find_line_shifts(centred(frame, channel).astype(np.float64), max_shift)
    metadata = {**frame.metadata, "line_shifts": shifts}
    moved = move_lines(frame.values, -shifts)
    return dataclasses.replace(frame, source=moved, metadata=metadata)


def _lazily(frame: Frame, channel: int, max_shift: float) -> np.ndarray:
    held = dataclasses.replace(frame, source=frame.values)
    return _corrected(held, channel, max_shift).values


def move_lines(values: np.ndarray, shifts: Float[np.ndarray, " height"]) -> np.ndarray:
    """Lines moved to the right by so many pixels, mirrored at their ends."""
    planes = values if values.ndim == 3 else values[..., None]
    width = planes.shape[1]
    both = np.concatenate([planes, planes[:, ::-1]], axis=1)
    turn = np.exp(-1j * _waves(2 * width) * shifts[:, None])[..., None]
    moved = np.fft.irfft(np.fft.rfft(both, axis=1) * turn, 2 * width, axis=1)[:, :width]
    return moved.astype(np.float32).reshape(values.shape)
