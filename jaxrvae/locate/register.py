"""How far two images of one scene lie apart, and what frequencies tell of it."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxrvae._typing import Complex, Float, Number

TAPER = 0.5  # share of the window's length over which it rises and falls
PRIOR = 0.02  # standard deviation of a step, as a share of the shorter side
CHANGED = 0.1  # share of the power taken to change between images, at first
HIGHEST = 0.7  # of Nyquist's frequency, from which on images are not trusted at first
COHERENT = 0.98  # more is not believed
FEW = 4  # pairs, fewer do not tell how coherent they are
LEAST_FIELD = 0.25  # of the image that a pair must share
ROUNDS = 10  # of windows that move with the scene; three are usual
LEAKS = 1e-5  # of the strongest power is in all frequencies: the window's
SETTLED = 0.002  # pixels
BOX = 3  # frequencies along an axis over which power is averaged
BLOCKS = 16  # along an axis, into which the field is cut to tell errors
LOBE = 2.0  # pixels from a peak, within which another is taken for the same
SURE = 4.0  # standard errors above noise from which on a frequency is used


class Peak(NamedTuple):
    """A whole step (x, y); by how much its log-posterior is above the next peak's.

    `distance` is that peak's, pixels. Both are infinite where there is none.
    """

    step: np.ndarray
    margin: float
    distance: float


@dataclasses.dataclass(frozen=True, eq=False)
class Register:
    """Registers pairs of images of one shape.

    Attributes:
        shape: (rows, columns).
        max_step: Farthest from what is expected, pixels.
        weight: Of every frequency of a cross-spectrum, such that the weighted
            correlation is a log-likelihood; None while the spectra are unknown.
        cost: What the likelihood of a step loses for each image's power, where the
            fields overlap whole.
    """

    shape: tuple[int, ...]
    max_step: float
    weight: Float[np.ndarray, "row col"] | None = None
    cost: float = 0.0

    @property
    def waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Angular frequencies along x and y, broadcast against a spectrum."""
        kx = 2 * np.pi * np.fft.rfftfreq(self.shape[1])[None]
        ky = 2 * np.pi * np.fft.fftfreq(self.shape[0])[:, None]
        return kx.astype(np.float32), ky.astype(np.float32)

    def window(
        self, low: Sequence[Number] = (0, 0), high: Sequence[Number] = (0, 0)
    ) -> Float[np.ndarray, "height width"]:
        """Smooth from 0 to 1 and back within the image less margins (rows, columns)."""
        parts = []
        for side, start, end in zip(self.shape, low, high, strict=True):
            place = (np.arange(side) - float(start) + 0.5) / float(side - start - end)
            edge = np.clip(np.minimum(place, 1 - place) / (TAPER / 2), 0, 1)
            parts.append(np.sin(np.pi / 2 * edge) ** 2)
        return (parts[0][:, None] * parts[1]).astype(np.float32)

    def spectrum(
        self, image: np.ndarray, window: np.ndarray | None = None
    ) -> Complex[np.ndarray, "row col"]:
        """Of the windowed image, its mean there taken out."""
        if window is None:
            window = self.window()
        mean = np.sum(image * window) / np.sum(window)
        return np.fft.rfft2((image - mean) * window, self.shape)

    def independent(self) -> float:
        """Share of the frequencies that are independent, as the window mixes them."""
        window = self.window().astype(float)
        return float(np.sum(window**2) ** 2 / np.sum(window**4) / np.prod(self.shape))

    def coarse(
        self,
        first: np.ndarray,
        second: np.ndarray,
        expected: np.ndarray,
        spread: float | None = None,
    ) -> Float[np.ndarray, "2"]:
        """The whole step (x, y) of greatest posterior probability, from spectra.

        The prior is normal about `expected`, with a standard deviation of 2 % of the
        shorter side unless given.
        """
        likelihood = self.likelihood(first, second)
        return self.likeliest(likelihood, expected, expected, spread).step

    def likelihood(
        self, first: np.ndarray, second: np.ndarray
    ) -> Float[np.ndarray, "height width"]:
        """Its logarithm for every whole step, the step 0 in the corner, from spectra.

        It is that of two noisy views of one scene where the windows overlap and of two
        scenes elsewhere, so that long steps are hardly held back by what leaves the
        window.
        """
        cross = np.conj(first) * second * self.weight
        overlap = np.fft.irfft2(
            np.abs(np.fft.rfft2(self.window(), self.shape)) ** 2, self.shape
        )
        likelihood = np.fft.irfft2(cross, self.shape) * np.prod(self.shape)
        likelihood -= self.cost * overlap / overlap[0, 0]
        return likelihood * self.independent()

    def likeliest(
        self,
        likelihood: np.ndarray,
        expected: np.ndarray,
        middle: np.ndarray,
        spread: float | None = None,
    ) -> "Peak":
        """The step within the longest of `expected`, by a prior about `middle`."""
        from scipy.ndimage import maximum_filter

        dy = np.fft.fftfreq(self.shape[0], 1 / self.shape[0])[:, None]
        dx = np.fft.fftfreq(self.shape[1], 1 / self.shape[1])[None]
        from_middle = (dx - middle[0]) ** 2 + (dy - middle[1]) ** 2
        spread = spread or PRIOR * min(self.shape)
        score = likelihood - from_middle / (2 * spread**2)
        far = (dx - expected[0]) ** 2 + (dy - expected[1]) ** 2 > self.max_step**2
        score[far] = -np.inf
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        step, best = np.array([dx[0, column], dy[row, 0]]), float(score[row, column])
        high = score == maximum_filter(score, 3, mode="wrap")
        away = np.hypot(dx - step[0], dy - step[1])
        rival = np.where(high & (away > LOBE), score, -np.inf)
        place = np.unravel_index(int(rival.argmax()), rival.shape)
        if np.isneginf(rival[place]):
            return Peak(step, np.inf, np.inf)
        return Peak(step, best - float(rival[place]), float(away[place]))

    def fine(
        self, first: np.ndarray, second: np.ndarray, step: np.ndarray
    ) -> tuple[Float[np.ndarray, "2"], float] | None:
        """The step to a fraction of a pixel, and its error; None without common field.

        From images. The windows cover what both show and move with the scene, which
        would else be held back by them; so the step is found anew until it stays.
        """
        error = np.inf
        for _ in range(ROUNDS):
            both = self._common(first, second, step)
            if both is None:
                return None
            change, error = self.climb(np.conj(both[0]) * both[1])
            step = step + change
            if np.abs(change).max() < max(SETTLED, 0.1 * error):
                break
        return step, error

    def _common(
        self, first: np.ndarray, second: np.ndarray, step: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Spectra of what both show, the second moved back; None where it is little."""
        low = np.maximum(0, -step[::-1]).tolist()
        high = np.maximum(0, step[::-1]).tolist()
        sides = np.maximum(np.array(self.shape) - low - high, 0)
        if np.prod(sides) < LEAST_FIELD * np.prod(self.shape):
            return None
        kx, ky = self.waves
        one = self.spectrum(first, self.window(low, high))
        two = self.spectrum(second, self.window(high, low))
        back = np.exp(1j * (kx * step[0] + ky * step[1])).astype(np.complex64)
        return one, two * back

    def influences(
        self,
        first: np.ndarray,
        second: np.ndarray,
        step: np.ndarray,
        place: np.ndarray,
    ) -> Float[np.ndarray, "part 2"] | None:
        """How far each block of the field pulls at the step found, pixels.

        They sum to about 0. Noise and what changes are local, so that blocks some way
        apart are independent, and those of one block may be compared between pairs:
        blocks lie still on the sample, which is at `place` (x, y) in the first image.

        A block's pull is the sum over its pixels of what the two images differ by,
        times the slope of their weighted mean, over the likelihood's curvature.
        """
        both = self._common(first, second, step)
        if both is None:
            return None
        mean, rest = both[0] + both[1], np.fft.irfft2(both[0] - both[1], self.shape)
        waves, weight = self.waves, np.asarray(self.weight, np.float64)
        cross = np.real(np.conj(both[0]) * both[1]) * weight * _twice(self.shape[1])
        curvature = np.array(
            [[np.sum(a * b * cross) for a in waves] for b in waves], float
        )
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return None
        rows, columns = (
            np.floor((np.arange(side) - float(start)) * BLOCKS / side).astype(int)
            for side, start in zip(self.shape, place[::-1], strict=True)
        )
        block = (rows % BLOCKS)[:, None] * BLOCKS + columns % BLOCKS
        pulls = []
        for wave in waves:
            slope = np.fft.irfft2(0.5j * wave * weight * mean, self.shape)
            pulls.append(np.bincount(block.ravel(), (rest * slope).ravel(), BLOCKS**2))
        return np.linalg.solve(curvature, np.stack(pulls) * rest.size).T

    def climb(self, cross: np.ndarray) -> tuple[Float[np.ndarray, "2"], float]:
        """The likeliest step near 0 by Newton's method, and its standard error."""
        kx, ky = self.waves
        weighted = cross * self.weight * _twice(self.shape[1])
        step, variance = np.zeros(2), np.inf
        for _ in range(8):
            turned = weighted * np.exp(1j * (kx * step[0] + ky * step[1]))
            slope = -np.array([np.sum(kx * turned.imag), np.sum(ky * turned.imag)])
            xx, yy = np.sum(kx**2 * turned.real), np.sum(ky**2 * turned.real)
            xy = np.sum(kx * ky * turned.real)
            curvature = np.array([[xx, xy], [xy, yy]], float)
            if np.linalg.eigvalsh(curvature)[0] <= 0:
                return step, np.inf
            variance = np.trace(np.linalg.inv(curvature)) / 2 / self.independent()
            change = np.clip(np.linalg.solve(curvature, slope), -0.5, 0.5)
            step = np.clip(step + change, -1.5, 1.5)
            if np.abs(change).max() < 1e-5:
                break
        return step, float(np.sqrt(variance))

    def trained(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> "Register":
        """With weights for images such as these pairs, given by their spectra.

        From the power at first; where there are pairs enough, from how far they agree
        frequency by frequency once each is moved back.

        Source: Knapp & Carter 1976, doi:10.1109/TASSP.1976.1162830, eq. 25.
        """
        spectra = [one for pair in pairs for one in pair]
        power = _mean(np.mean([np.abs(one) ** 2 for one in spectra], axis=0))
        high = np.hypot(*self.waves) / np.pi
        noise = np.median(power[(high > 0.8) & (high <= 1.0)])
        noise = max(float(noise), LEAKS * float(power.max()))
        count = BOX**2 * self.independent()
        least = noise * (1 + SURE / np.sqrt(len(spectra) * count))
        seen = (power > least) & (high < HIGHEST)
        signal = np.where(seen, power - noise, 0)
        coherence = signal / (signal + noise + CHANGED * signal + 1e-30)
        first = self._weighted(coherence, power)
        if len(pairs) < FEW:
            return first
        kx, ky = self.waves
        common = np.zeros_like(power)
        for one, two in pairs:
            whole = first.coarse(one, two, np.zeros(2))
            cross = np.conj(one) * two
            cross = cross * np.exp(1j * (kx * whole[0] + ky * whole[1]))
            rest, _ = first.climb(cross)
            cross = cross * np.exp(1j * (kx * rest[0] + ky * rest[1]))
            common += cross.real / len(pairs)
        coherence = _mean(common) / power
        coherence[coherence < SURE / np.sqrt(2 * len(pairs) * count)] = 0
        return self._weighted(coherence, power) if coherence.any() else first

    def _weighted(self, coherence: np.ndarray, power: np.ndarray) -> "Register":
        coherence = np.minimum(coherence, COHERENT)
        coherence[0, 0] = 0
        rest = 1 - coherence**2
        weight = (coherence / (power * rest + 1e-30)).astype(np.float32)
        lost = (coherence**2 / rest + np.log(rest) / 2) * _twice(self.shape[1])
        return dataclasses.replace(self, weight=weight, cost=float(lost.sum()))


def _mean(values: np.ndarray) -> np.ndarray:
    """Over neighbouring frequencies."""
    from scipy.ndimage import uniform_filter

    return uniform_filter(values, BOX, mode="wrap")


def _twice(columns: int) -> np.ndarray:
    """2 for every frequency that stands for its negative too, else 1."""
    twice = np.full((1, columns // 2 + 1), 2.0, np.float32)
    twice[0, 0] = 1.0
    if columns % 2 == 0:
        twice[0, -1] = 1.0
    return twice
