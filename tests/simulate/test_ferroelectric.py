import numpy as np
import pandas as pd
import pytest

from jaxrvae.simulate import simulate
from jaxrvae.simulate.domains import wall_points
from jaxrvae.simulate.ferroelectric import Film

SMALL = {"size": 128, "num_domains": 2, "domain_radius": 90.0}
CLEAN = {"num_pins": 0, "temperature": 0.0}


@pytest.fixture(scope="module")
def movie():
    return simulate("ferroelectric", seed=2, num_frames=6, bias=0.3, **SMALL)


def test_movie_and_truth(movie):
    truth = movie.truth
    assert movie.values.shape == (6, 128, 128, 2)
    assert movie.values.dtype == np.float32
    assert movie.channels == ("amplitude", "phase")
    assert movie.pixel_size == 5.0
    assert truth["polarization"].shape == (6, 128, 128)
    assert list(truth["walls"]) == ["frame", "x", "y", "direction"]
    assert list(truth["frames"]["bias"]) == [0.3] * 6
    area = (truth["polarization"] > 0).sum((1, 2)) * 25.0
    np.testing.assert_allclose(truth["frames"]["up_area"], area)
    assert movie.values[..., 0].min() >= 0
    assert np.abs(movie.values[..., 1]).max() <= np.pi + 1e-6
    assert len(truth["pins"]) == 150
    expected = wall_points(truth["polarization"][3], 2.0)
    wall = truth["walls"].query("frame == 3")[["x", "y", "direction"]]
    pd.testing.assert_frame_equal(wall.reset_index(drop=True), expected)


def test_domains_grow_with_bias_and_stop_at_pins(movie):
    assert (np.diff(movie.truth["frames"]["up_area"]) > 0).all()
    weak = {"num_frames": 12, "bias": 0.08, "temperature": 0.0, "size": 128}
    weak |= {"start": "stripes", "domain_radius": 150.0}
    free = simulate("ferroelectric", seed=2, num_pins=0, **weak)
    held = simulate("ferroelectric", seed=2, pin_softening=0.9, pin_field=0.0, **weak)
    grown = [
        np.diff(one.truth["frames"]["up_area"])[-4:].mean() for one in (free, held)
    ]
    assert grown[0] > 0
    assert grown[1] < grown[0] / 3


def test_walls_have_normals_to_the_up_side_and_little_amplitude():
    movie = simulate("ferroelectric", seed=0, num_frames=1, noise=0.0, **SMALL, **CLEAN)
    wall = movie.truth["walls"]
    inside = wall[["x", "y"]].apply(lambda p: p.between(6, 121)).all(axis=1)
    wall = wall[inside]
    up = movie.truth["polarization"][0]
    ahead = wall[["x", "y"]].to_numpy() + 5 * np.stack(
        [np.cos(wall["direction"]), -np.sin(wall["direction"])], -1
    )
    behind = 2 * wall[["x", "y"]].to_numpy() - ahead
    values = [up[tuple(np.rint(p).astype(int).T[::-1])] for p in (ahead, behind)]
    assert (values[0] > 0.5).all()
    assert (values[1] < -0.5).all()
    amplitude = movie[0].values[..., 0]
    on_wall = amplitude[tuple(np.rint(wall[["y", "x"]]).astype(int).to_numpy().T)]
    assert on_wall.max() < 0.6 * np.median(amplitude)


def test_phase_differs_by_pi_and_carries_the_offset():
    options = {"phase_offset": 2.5, "noise": 0.0, "tip": 0.0, "electrostatic": 0.0}
    movie = simulate("ferroelectric", seed=0, num_frames=1, **options, **SMALL, **CLEAN)
    phase = movie[0].values[..., 1]
    up = movie.truth["polarization"][0] > 0
    np.testing.assert_allclose(phase[up], 2.5, atol=1e-5)
    np.testing.assert_allclose(phase[~up], 2.5 - np.pi, atol=1e-5)
    np.testing.assert_allclose(
        movie[0].values[..., 0],
        50 * np.abs(movie.truth["polarization"][0]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_noise_of_the_lock_in_is_as_told():
    options = {"num_domains": 0, "phase_offset": 0.0, "tip": 0.0, "noise": 0.1}
    movie = simulate("ferroelectric", num_frames=1, size=200, **options, **CLEAN)
    amplitude, phase = np.moveaxis(movie[0].values.astype(float), -1, 0)
    for part in (np.cos, np.sin):
        quadrature = amplitude * part(phase)
        error = 5 / np.sqrt(2 * quadrature.size)
        assert quadrature.std() == pytest.approx(50 * 0.1, rel=error)


def test_drift_moves_the_view():
    options = {"num_frames": 2, "bias": 0.0, "noise": 0.0, **SMALL, **CLEAN}
    moved = simulate("ferroelectric", seed=1, drift=(6.0, -3.0), **options)
    np.testing.assert_array_equal(moved.truth["drift"][["x", "y"]], [[0, 0], [6, -3]])
    first, second = moved.truth["polarization"]
    inner = np.roll(first, (-3, 6), (0, 1))[10:-10, 10:-10]
    assert np.corrcoef(inner.ravel(), second[10:-10, 10:-10].ravel())[0, 1] > 0.99


def test_in_plane_domains():
    movie = simulate(
        "ferroelectric", seed=0, num_frames=2, in_plane=0.2, **SMALL, **CLEAN
    )
    planar = np.abs(movie.truth["in_plane"]).max(-1)
    assert movie.truth["in_plane"].shape == (2, 128, 128, 2)
    assert planar.max() > 0.8
    assert np.abs(movie.truth["polarization"])[planar > 0.8].max() < 0.5
    wall = movie.truth["walls"].query("frame == 1")
    rows, columns = np.rint(wall[["y", "x"]]).astype(int).to_numpy().T
    assert (planar[1][rows, columns] > 0.9).mean() < 0.05


def test_same_seed_same_movie():
    first, again, other = (
        simulate("ferroelectric", seed=s, num_frames=2, **SMALL) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.values, again.values)
    pd.testing.assert_frame_equal(first.truth["walls"], again.truth["walls"])
    assert not np.array_equal(first.values, other.values)
    options = first.truth["options"]
    remade = simulate("ferroelectric", seed=0, **options)
    np.testing.assert_array_equal(first.values, remade.values)


def test_waveforms():
    assert Film(bias=[0.1, 0.2]).fields(2).tolist() == [0.1, 0.2]
    assert Film(bias=0.4, waveform="pulses").fields(4).tolist() == [0, 0.4, 0, 0.4]
    sine = Film(bias=0.4, waveform="sine").fields(101)
    assert sine.max() == pytest.approx(0.4)
    assert Film(bias=0.4).fields(1).tolist() == [0.4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bias": (0.1, 0.2), "num_frames": 3}, "one a frame \\(3\\); got 2"),
        ({"bias": 5.0}, "bias must lie in"),
        ({"waveform": "sawtooth"}, "waveform must be one of"),
        ({"start": "stripe"}, "Did you mean 'stripes'"),
        ({"pin_softening": 2.0}, "pin_softening must lie in"),
        ({"wall_width": 0.0}, "wall_width must be finite and > 0"),
        ({"in_plane": 0.9}, "in_plane must lie in"),
        ({"size": 8}, "size must be >= 16"),
        ({"noise": -1.0}, "noise must be >= 0"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        simulate("ferroelectric", **options)
