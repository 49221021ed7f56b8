import dataclasses

import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.domains import measure_domains
from jaxrvae.locate.polarity import find_polarity, phase_axis
from jaxrvae.locate.walls import find_walls

SIZE, RADIUS, WIDTH = 96, 24.0, 2.0
CENTRE = (50.3, 44.6)  # x, y
BOTH = ("amplitude", "phase")


def disc(centre=CENTRE, radius=RADIUS, sign=1.0):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    away = np.hypot(columns - centre[0], rows - centre[1])
    return sign * np.tanh((radius - away) / WIDTH)


def response(polarity, offset=0.0, noise=0.0, seed=0):
    """Amplitude and phase of a polarity, in radians as an instrument wraps them."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(0, noise, (2, *polarity.shape)) if noise else np.zeros((2, 1, 1))
    seen = (polarity + parts[0] + 1j * parts[1]) * np.exp(1j * offset)
    return np.stack([np.abs(seen), np.angle(seen)], axis=-1)


def movie(*polarities, **options):
    frames = [
        Frame(response(values, seed=i, **options), number=i, name=f"{i}")
        for i, values in enumerate(polarities)
    ]
    return Frames(tuple(frames), channels=BOTH)


def wrap(angle):
    return np.angle(np.exp(1j * np.asarray(angle)))


@pytest.mark.parametrize("offset", [0.0, 0.7, -1.5, 1.2])
@pytest.mark.parametrize("degrees", [False, True])
def test_offset_and_unit_of_the_phase_are_found(offset, degrees):
    seen = movie(disc(), offset=offset, noise=0.02)
    if degrees:
        scale = np.array([1.0, 180 / np.pi])
        frame = dataclasses.replace(seen[0], source=seen[0].values * scale)
        seen = dataclasses.replace(seen, frames=(frame,))
    found = find_polarity(seen)
    assert found.channels == ("polarity", "amplitude")
    # the mean of 9216 axes, each off by about 0.02 over the amplitude
    assert abs(found[0].metadata["phase_offset"] - offset) < 0.005
    np.testing.assert_allclose(found[0].values[..., 0], disc(), atol=0.15)
    np.testing.assert_array_equal(find_polarity(found)[0].values, found[0].values)


def test_sign_is_kept_through_a_movie_whose_offset_creeps():
    offsets = np.linspace(0.5, 3.5, 7)
    frames = [Frame(response(disc(), t), number=i) for i, t in enumerate(offsets)]
    found = find_polarity(Frames(tuple(frames), channels=BOTH))
    for frame in found:
        np.testing.assert_allclose(frame.values[..., 0], disc(), atol=0.05)


def test_axis_is_that_of_both_ends():
    rng = np.random.default_rng(0)
    ends = rng.choice([-1.0, 1.0], 500) * rng.uniform(0.1, 1, 500)
    assert phase_axis(ends * np.exp(0.4j)) == pytest.approx(0.4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_wall_of_a_disc_is_where_and_as_it_is(sign):
    """Noise of a twentieth moves the zero of tanh(x / 2) by about 0.1 pixels."""
    walls = find_walls(movie(disc(sign=sign), noise=0.05))
    assert walls["wall"].nunique() == 1
    x, y = walls["x"] - CENTRE[0], walls["y"] - CENTRE[1]
    off = np.hypot(x, y) - RADIUS
    assert abs(off.mean()) < 0.1
    assert off.std() < 0.2
    inwards = np.arctan2(y, -x)  # as displayed, y up
    turned = wrap(walls["direction"] - inwards - (0 if sign > 0 else np.pi))
    assert np.abs(turned).max() < 0.2
    assert np.median(walls["curvature"]) == pytest.approx(sign / RADIUS, rel=0.1)
    length = walls["arc"].max() + walls["arc"].diff().median()
    assert length == pytest.approx(2 * np.pi * RADIUS, rel=0.03)
    assert walls["confidence"].min() > 0.99


def test_positive_polarity_lies_to_the_right_of_the_way():
    walls = find_walls(movie(disc(), noise=0.02))
    forward = np.array([walls["x"].diff(), walls["y"].diff()])[:, 1:]
    right = np.stack([-forward[1], forward[0]])  # y is down
    inwards = np.array([CENTRE[0] - walls["x"], CENTRE[1] - walls["y"]])[:, 1:]
    assert ((right * inwards).sum(0) > 0).all()


def test_specks_are_no_domains():
    """Smaller than the least size, or of noise alone where there is no response."""
    field = disc()
    for x, y in ((8, 8), (85, 80), (50, 44)):
        field[y, x] *= -1
    assert find_walls(movie(field, noise=0.02))["wall"].nunique() == 1
    small = np.maximum(disc(), disc((80, 80), 4.0))
    assert find_walls(movie(small, noise=0.02))["wall"].nunique() == 2
    assert find_walls(movie(small, noise=0.02), min_size=10)["wall"].nunique() == 1
    faint = field * (1 - 0.999 * (np.mgrid[:SIZE, :SIZE][1] < 12))
    walls = find_walls(movie(faint, noise=0.02))
    assert (walls.loc[walls["x"] < 9, "confidence"] < 0.99).all()


def test_an_area_that_grows_is_displaced():
    shifted = disc((CENTRE[0] + 2.5, CENTRE[1] - 1.25))
    seen = movie(disc(), disc(radius=28.0), shifted, noise=0.02)
    plain = measure_domains(seen)
    grown = np.pi * (28.0**2 - RADIUS**2)
    assert np.isnan(plain["grown"][0])
    assert plain["grown"][1] == pytest.approx(grown, rel=0.03)
    assert plain["displaced"][1] == pytest.approx(grown, rel=0.03)
    np.testing.assert_allclose(plain["length"][0], 2 * np.pi * RADIUS, rtol=0.03)
    drift = pd.DataFrame({"frame": [0, 1, 2], "x": [0, 0, 2.5], "y": [0, 0, -1.25]})
    fixed = measure_domains(seen, drift=drift)
    assert fixed["grown"][2] == pytest.approx(-grown, rel=0.03)
    assert fixed["displaced"][2] == pytest.approx(grown, rel=0.03)


def test_lengths_and_areas_are_in_nm():
    seen = movie(disc(), disc(radius=28.0), noise=0.02)
    frames = tuple(dataclasses.replace(frame, pixel_size=5.0) for frame in seen)
    nm = measure_domains(dataclasses.replace(seen, frames=frames))
    pixels = measure_domains(seen)
    np.testing.assert_allclose(nm["length"], 5 * pixels["length"])
    np.testing.assert_allclose(nm["displaced"], 25 * pixels["displaced"])
    np.testing.assert_allclose(nm["curvature"], pixels["curvature"] / 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": ("height", "phase")}, "with the amplitude of a piezoresponse"),
        ({"channels": ("amplitude", "height")}, "with the phase of a piezoresponse"),
    ],
)
def test_channels_that_are_not_there_are_named(change, message):
    with pytest.raises(DataError, match=message):
        find_walls(dataclasses.replace(movie(disc()), **change))


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="expected a channel 'x'"):
        find_walls(movie(disc()), phase="x")
    with pytest.raises(ValueError, match="spacing must be finite and > 0"):
        find_walls(movie(disc()), spacing=0.0)
    with pytest.raises(DataError, match="changes its sign nowhere"):
        find_walls(movie(np.ones((32, 32)), noise=0.05))
    drift = pd.DataFrame({"frame": [0], "x": [0.0], "y": [0.0]})
    with pytest.raises(DataError, match="lacks"):
        measure_domains(movie(disc(), disc()), drift=drift)


def test_retraces_are_taken_before_traces():
    one = movie(disc())[0].values
    names = ("PhaseTrace", "NapAmplitudeRetrace", "AmplitudeRetrace", "PhaseRetrace")
    stacked = np.stack([0 * one[..., 1], 0 * one[..., 0], one[..., 0], one[..., 1]], -1)
    found = find_polarity(Frames((Frame(stacked),), channels=names))
    np.testing.assert_allclose(found[0].values[..., 0], disc(), atol=1e-5)
