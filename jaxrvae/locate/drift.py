"""Drift of a movie from its images, to a fraction of a pixel."""

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Float, Number
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.channels import channel_index, plane
from jaxrvae.locate.register import BLOCKS, LOBE, PRIOR, Register

LAGS = (1, 2, 4, 8, 16)  # frames between the members of a pair
SAMPLED = 12  # pairs of neighbouring frames that tell the weights
SHARE, SHARE_POLED = 0.25, 0.1  # of the shorter side, the longest step's
POLED = ("amplitude", "phase")  # in the names of channels of PFM
ROUNDS = 30  # of reweighting; it converges in ten
CONTRADICTS = 3.0  # standard errors from which on a pair loses its say
FAR = 4.0  # standard errors within which a pair is not taken for slipped
SURE = 10.0  # log-posterior above the next best peak's, from which on a step is sure
FEW = 4  # steps, fewer do not tell what steps are usual
RAYLEIGH = 1.177  # median length of a step, in its standard deviations along an axis
TOGETHER = 4  # neighbouring parts of the field, along an axis, that are summed
FLOOR = 0.005  # pixels: no pair is believed to be better


def find_drift(
    movie: Frames, *, channel: int | str = 0, max_step: Number | None = None
) -> pd.DataFrame:
    """How far the sample in each frame lies from where it lay in the first.

    Pairs of frames 1, 2, 4, 8 and 16 apart are registered by their cross-spectrum, each
    frequency weighted by how well neighbouring frames agree in it: noise, and what
    changes from frame to frame, count for little. A lattice correlates with itself
    after every lattice vector; likelihood decides, with a normal prior of steps
    as short as the movie's others. The window moves with the sample, so it pulls at
    nothing. A step with a rival nearly as likely is told by pairs of other frames that
    are surer. The drift is what agrees best with all pairs; pairs that contradict the
    others lose their say. Errors come from how far parts of the field pull apart, so
    that they hold what pairs with a frame in common share, and changes that stay; where
    noise drowns single frames they are up to 1.5 times too small.

    Frames are read one at a time and 17 held. A frame of 512 x 512 pixels takes about
    half a second of one core.

    Args:
        movie: Frames of one shape.
        channel: Index or name of the channel, where images have several.
        max_step: Longest step between neighbouring frames, pixels. Unless given, a
            quarter of the shorter side; a tenth where a channel is an amplitude or a
            phase (PFM), whose contrast turns over where it is poled, so that far steps
            fit by chance. On a perfect lattice, half a lattice vector.

    Returns:
        A row a frame: frame (its number); x and y, pixels since the first frame, x to
        the right and y downwards; error, the standard error of x or y if no step
        slipped; slip, the probability that one did, as by a lattice vector, between the
        first frame and this. Frames whose slip is above 0.01 deserve a look.

    Raises:
        DataError: Shapes differ; a frame is uniform or holds values that are not
            finite; nothing stands out of the noise; frame numbers repeat.

    >>> from scipy.ndimage import gaussian_filter
    >>> scene = gaussian_filter(np.random.default_rng(0).normal(size=(80, 80)), 1.5)
    >>> frames = tuple(
    ...     Frame(scene[8 - i : 72 - i, 8 - 2 * i : 72 - 2 * i], number=i)
    ...     for i in range(3)
    ... )
    >>> find_drift(Frames(frames))[["x", "y"]].abs().round(3).to_numpy().tolist()
    [[0.0, 0.0], [2.0, 1.0], [4.0, 2.0]]
    """
    movie.index_by_number()
    which = channel_index(movie, channel)
    shape = centred(movie[0], which).shape
    longest = _longest(movie, shape) if max_step is None else float(max_step)
    positive("max_step", longest, "It is in pixels.")
    place = np.zeros((len(movie), 2))
    error = slip = np.zeros(len(movie))
    if len(movie) > 1:
        register = _trained(Register(shape, longest), movie, which)
        pairs, slip = settled(_pairs(register, movie, which), len(movie))
        place, error = consensus(pairs, len(movie))
    columns = {"x": place[:, 0], "y": place[:, 1], "error": error, "slip": slip}
    return pd.DataFrame({"frame": movie.numbers, **columns})


def _longest(movie: Frames, shape: tuple[int, ...]) -> float:
    names = " ".join(movie.channels).lower()
    poled = any(name in names for name in POLED)
    return min(shape) * (SHARE_POLED if poled else SHARE)


def centred(frame: Frame, channel: int) -> Float[np.ndarray, "height width"]:
    """One channel of a frame as float32, its mean taken out."""
    image = plane(frame, channel)
    name = frame.name or f"frame {frame.number}"
    if not np.isfinite(image).all():
        raise DataError(
            f"{name}: expected finite intensities; {(~np.isfinite(image)).sum()} are"
            " not. Fill them, or crop the frames."
        )
    if np.ptp(image) == 0:
        raise DataError(
            f"{name}: expected an image; got {image.shape} equal values."
            " Leave the frame out, or choose another channel."
        )
    return (image - image.mean()).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two frames by index, the step (x, y) from one to the other, and its error.

    `pulls` (part, 2) are how far the parts of the field pull at the step: those of one
    part are correlated between pairs, and make up the error; without them, the pair is
    independent of all others. `margin` is by how much the log-posterior of the step is
    above that of the next best, `distance` pixels away.
    """

    first: int
    second: int
    step: np.ndarray
    error: float
    pulls: np.ndarray | None = None
    margin: float = np.inf
    distance: float = np.inf


def settled(
    pairs: list[Pair], num_frames: int
) -> tuple[list[Pair], Float[np.ndarray, " frame"]]:
    """Pairs without those that slipped, and each frame's probability of a slip.

    The surest pairs that link all frames, those of the largest margins, tell roughly
    where frames are; a pair nearer to its next best step than to what they say is left
    out. A frame slips if one of the pairs that link it to the first does.
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    best: dict[tuple[int, int], Pair] = {}
    for pair in pairs:
        key = pair.first, pair.second
        if key not in best or pair.margin > best[key].margin:
            best[key] = pair
    first, second = np.array(list(best)).T
    # of sure pairs the nearer: in many frames the sample may move by a lattice vector
    cost = [
        1 / (1 + min(pair.margin, SURE)) + 1e-4 * (pair.second - pair.first)
        for pair in best.values()
    ]
    graph = sparse.csr_matrix((cost, (first, second)), (num_frames, num_frames))
    tree = csgraph.minimum_spanning_tree(graph)
    order, before = csgraph.breadth_first_order(tree, 0, directed=False)
    place, sure = np.zeros((num_frames, 2)), np.ones(num_frames)
    for frame in order[1:].tolist():
        parent = int(before[frame])
        pair = best[min(parent, frame), max(parent, frame)]
        place[frame] = place[parent] + pair.step * np.sign(frame - parent)
        sure[frame] = sure[parent] / (1 + np.exp(-min(pair.margin, 500.0)))
    kept = []
    for pair in pairs:
        away = np.hypot(*(pair.step - place[pair.second] + place[pair.first]))
        if away <= max(pair.distance / 2, FAR * pair.error):
            kept.append(pair)
    return kept, 1 - sure


def consensus(
    pairs: list[Pair], num_frames: int
) -> tuple[Float[np.ndarray, "frame 2"], Float[np.ndarray, " frame"]]:
    """Places that agree best with all pairs, the first at 0, and their errors.

    Weighted least squares whose weights fall for pairs that contradict the others. The
    errors grow by as much as the pairs scatter more than they state.

    Source: Holland & Welsch 1977, doi:10.1080/03610927708827533: Cauchy's weights.
    """
    from scipy import sparse

    first = np.array([pair.first for pair in pairs])
    second = np.array([pair.second for pair in pairs])
    steps = np.array([pair.step for pair in pairs])
    errors = np.array([pair.error for pair in pairs])
    rows = np.tile(np.arange(len(pairs)), 2)
    signs = np.repeat([-1.0, 1.0], len(pairs))
    places = np.concatenate([first, second])
    design = sparse.csr_matrix((signs, (rows, places)), (len(pairs), num_frames))[:, 1:]
    trust, scatter = np.ones(len(pairs)), 1.0
    place, normal, weighted = np.zeros((num_frames, 2)), None, None
    for _ in range(ROUNDS):
        weighted = design.multiply((trust / errors**2)[:, None]).tocsr()
        normal = sparse.linalg.splu((design.T @ weighted).tocsc())
        before, place[1:] = place.copy(), normal.solve(weighted.T @ steps)
        away = np.hypot(*(steps - place[second] + place[first]).T) / errors
        free = len(pairs) - num_frames + 1
        if free:  # the median of a Rayleigh-distributed length is 1.177
            scatter = max(
                1.0, float(np.median(away)) / RAYLEIGH * (len(pairs) / free) ** 0.5
            )
        trust = 1 / (1 + (away / (CONTRADICTS * scatter)) ** 2)
        if np.abs(place - before).max() < 1e-6:
            break
    assert normal is not None
    assert weighted is not None
    variance = np.zeros(num_frames)
    alone = [i for i, pair in enumerate(pairs) if pair.pulls is None]
    for start in range(0, len(alone), 256):  # bounds the memory
        part = alone[start : start + 256]
        reach = normal.solve(weighted[part].toarray().T)
        variance[1:] += (reach**2) @ (scatter * errors[part]) ** 2
    if len(alone) < len(pairs):
        none = np.zeros((BLOCKS**2, 2))
        pulls = np.stack([none if p.pulls is None else p.pulls for p in pairs])
        moved = normal.solve(weighted.T @ pulls.reshape(len(pairs), -1))
        variance[1:] += _by_parts(moved.reshape(num_frames - 1, -1, 2))
    return place, np.sqrt(variance)


def _by_parts(moved: np.ndarray) -> Float[np.ndarray, " frame"]:
    """Variance along an axis of places that parts of the field move so far.

    Parts that touch are correlated: what changes may lie across their border. So it is
    the variance of sums over squares of neighbouring parts.

    Source: Conley 1999, doi:10.1016/S0304-4076(98)00084-0, with Bartlett's window.
    """
    from scipy.ndimage import uniform_filter

    field = moved.reshape(len(moved), BLOCKS, BLOCKS, 2)
    sums = uniform_filter(field, TOGETHER, mode="wrap", axes=(1, 2)) * TOGETHER
    return np.sum(sums**2, axis=(1, 2, 3)) / 2


def _trained(register: Register, movie: Frames, channel: int) -> Register:
    """With weights from pairs of neighbouring frames throughout the movie."""
    starts = np.unique(np.linspace(0, len(movie) - 2, SAMPLED).round().astype(int))
    pairs = []
    for start in starts.tolist():
        both = _images(movie[start : start + 2], channel, register.shape)
        one, two = (register.spectrum(image) for image in both)
        pairs.append((one, two))
    trained = register.trained(pairs)
    if trained.weight is None or not trained.weight.any():
        raise DataError(
            f"expected images that stand out of their noise; in {len(movie)} frames"
            " nothing does. Sum neighbouring frames, or choose another channel."
        )
    return trained


def _pairs(register: Register, movie: Frames, channel: int) -> list[Pair]:
    """Neighbours first; for frames farther apart the chain of these is expected."""
    held: collections.deque[tuple[np.ndarray, np.ndarray]] = collections.deque(
        maxlen=LAGS[-1] + 1
    )
    spread = _usual_step(register, movie, channel)
    wide = spread or PRIOR * min(register.shape)
    chain = [np.zeros(2)]
    pairs = []
    for i, image in enumerate(_images(movie, channel, register.shape)):
        held.append((image, register.spectrum(image)))
        for lag in LAGS:
            if lag > i:
                break
            other, spectrum = held[-1 - lag]
            expected = chain[i] - chain[i - lag] if lag > 1 else np.zeros(2)
            likelihood = register.likelihood(spectrum, held[-1][1])
            free = register.likeliest(
                likelihood, expected, np.zeros(2), wide * lag**0.5
            )
            peaks = [free]
            if lag > 1:
                near = register.likeliest(likelihood, expected, expected, spread)
                if np.hypot(*(near.step - free.step)) > LOBE:
                    peaks.append(near._replace(margin=0.0))
            for peak in peaks:
                found = register.fine(other, image, peak.step)
                if lag == 1:
                    found = found or (peak.step, float("inf"))
                    chain.append(chain[-1] + found[0])
                if not found:
                    continue
                pairs.append(
                    Pair(
                        first=i - lag,
                        second=i,
                        step=found[0],
                        error=min(max(found[1], FLOOR), 1e3),
                        pulls=register.influences(
                            other, image, found[0], chain[i - lag]
                        ),
                        margin=peak.margin if np.isfinite(found[1]) else 0.0,
                        distance=peak.distance,
                    )
                )
    return pairs


def _usual_step(register: Register, movie: Frames, channel: int) -> float | None:
    """Standard deviation, along an axis, of the steps between neighbours, pixels.

    Found with a wide prior of short steps; it makes the prior of all from then on. None
    where the steps are too few to tell, or wider than that prior.
    """
    steps, before = [], None
    for image in _images(movie, channel, register.shape):
        spectrum = register.spectrum(image)
        if before is not None:
            steps.append(register.coarse(before, spectrum, np.zeros(2)))
        before = spectrum
    length = float(np.median(np.hypot(*np.transpose(steps))))
    if len(steps) < FEW or length > RAYLEIGH * PRIOR * min(register.shape):
        return None
    return max(1.0, length / RAYLEIGH)


def _images(
    movie: Frames, channel: int, shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    for frame in movie:
        image = centred(frame, channel)
        if image.shape != shape:
            raise DataError(
                f"{frame.name or f'frame {frame.number}'}: expected {shape} pixels as"
                f" in the first frame; got {image.shape}. Crop the frames to one shape."
            )
        yield image
