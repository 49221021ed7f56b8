import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, shift
from skimage.registration import phase_cross_correlation

from jaxrvae import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.drift import Pair, consensus, find_drift, settled
from jaxrvae.simulate.graphene import Scan, Sheet, simulate_graphene
from jaxrvae.simulate.imaging import render_atoms


def movie_of(images, **options):
    frames = tuple(Frame(image, number=i) for i, image in enumerate(images))
    return Frames(frames, **options)


def scene(side=160, smooth=1.5, seed=0):
    return gaussian_filter(
        np.random.default_rng(seed).normal(size=(side, side)), smooth
    )


def found(images, **options):
    return find_drift(movie_of(images), **options)[["x", "y"]].to_numpy()


def windows(whole, steps, side=96):
    """The sample moves by `steps` (x, y): the window moves the other way."""
    return [whole[30 - y : 30 - y + side, 30 - x : 30 - x + side] for x, y in steps]


@pytest.mark.parametrize("steps", [[(0, 0), (3, -2)], [(0, 0), (9, 4), (-6, 7)]])
def test_whole_pixels_are_found_exactly(steps):
    """Both windows then hold the very same pixels."""
    np.testing.assert_allclose(found(windows(scene(), steps)), steps, atol=1e-3)


def test_equal_frames_do_not_drift():
    drift = find_drift(movie_of([scene()] * 4))
    np.testing.assert_allclose(drift[["x", "y"]], 0, atol=1e-6)
    assert drift["frame"].tolist() == [0, 1, 2, 3]
    assert drift["error"].iloc[0] == 0


def test_parts_of_a_pixel():
    """Within a hundredth of the scene's width of 3 pixels."""
    whole = scene(smooth=3.0)
    steps = np.array([(0, 0), (1.3, -0.4), (2.75, 0.5)])
    images = [shift(whole, s[::-1], order=5)[30:126, 30:126] for s in steps]
    np.testing.assert_allclose(found(images), steps, atol=0.03)


def test_as_scikit_image_where_that_is_certain():
    images = windows(scene(), [(0, 0), (5, -3)])
    ours = found(images)[1]
    theirs, _, _ = phase_cross_correlation(images[0], images[1])
    np.testing.assert_allclose(-ours[::-1], theirs, atol=1e-3)


def test_turned_and_mirrored_movies():
    images = windows(scene(), [(0, 0), (5, -3), (2, 6)])
    straight = found(images)
    np.testing.assert_allclose(
        found([i.T for i in images]), straight[:, ::-1], atol=1e-3
    )
    mirrored = found([i[:, ::-1] for i in images])
    np.testing.assert_allclose(mirrored, straight * [-1, 1], atol=1e-3)
    np.testing.assert_allclose(found([7 - 3 * i for i in images]), straight, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("dose", "most"), [(3e3, 0.8), (3e4, 0.3), (1e6, 0.1)])
def test_graphene_that_hops(dose, most):
    """Three times what atoms that do not overlap would allow; benchmarks/drift.py."""
    scan = Scan(num_frames=8, size=200, drift=(2.3, -1.6), dose=dose)
    movie = simulate_graphene(1, Sheet(num_grains=2), scan)
    drift = find_drift(movie)
    wrong = drift[["x", "y"]] - movie.truth["drift"][["x", "y"]]
    assert np.sqrt(np.mean(wrong.iloc[1:].to_numpy() ** 2)) < most
    assert 0.1 * most < drift["error"].iloc[1:].mean() < 2 * most


def test_a_lattice_that_loses_and_moves_atoms():
    """Of 400 atoms 10 % are elsewhere in every frame; a lattice vector is 10 pixels."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :20].reshape(2, -1)
    atoms = np.stack([columns, rows], axis=1) * 10.0 - 5
    steps = np.cumsum(rng.normal(0, 1.5, (6, 2)), axis=0)
    steps -= steps[0]
    images = []
    for step in steps:
        here = atoms + step
        lost = rng.random(len(atoms)) < 0.1
        here[lost] += rng.normal(0, 5, (lost.sum(), 2))
        mean = render_atoms(here, np.full(len(atoms), 40.0), 2.0, (180, 180)) + 10
        images.append(rng.poisson(mean))
    # atoms share in the step: 10 % of 324 seen, 2 px off within reach, pull by
    # 2 sqrt(0.1 / 324) = 0.035 px a frame
    assert np.abs(found(images) - steps).max() < 5 * 0.035


def test_consensus_outvotes_a_slip():
    place = np.array([[0, 0], [1, 2], [3, 3], [4, 1], [6, 2.0]])
    pairs = [
        Pair(first=i, second=j, step=place[j] - place[i], error=0.1)
        for i in range(5)
        for j in range(i + 1, 5)
    ]
    pairs[4] = Pair(first=1, second=2, step=np.array([17.0, 1]), error=0.1)
    result, error = consensus(pairs, 5)
    np.testing.assert_allclose(result, place, atol=0.05)
    assert error[0] == 0
    assert (error[1:] > 0.03).all()


def test_consensus_errors_are_those_of_least_squares():
    """A chain of n steps of error s: the place after n has s sqrt(n)."""
    pairs = [Pair(first=i, second=i + 1, step=np.ones(2), error=0.2) for i in range(9)]
    place, error = consensus(pairs, 10)
    np.testing.assert_allclose(place[:, 0], range(10), atol=1e-9)
    np.testing.assert_allclose(error, 0.2 * np.sqrt(range(10)), atol=1e-9)


def test_one_frame_does_not_drift():
    drift = find_drift(movie_of([scene()]))
    assert drift.to_numpy().tolist() == [[0, 0, 0, 0, 0]]


def test_channels_by_name():
    images = windows(scene(), [(0, 0), (4, 1)])
    other = scene(96, seed=5)
    both = [np.stack([other, image], axis=-1) for image in images]
    movie = movie_of(both, channels=("height", "phase"))
    drift = find_drift(movie, channel="phase")
    np.testing.assert_allclose(drift[["x", "y"]].iloc[1], [4, 1], atol=1e-3)
    np.testing.assert_allclose(find_drift(movie)["x"], 0, atol=1e-6)
    with pytest.raises(ValueError, match=r"one of \['height', 'phase'\]"):
        find_drift(movie, channel="amplitude")


def test_lazy_frames_are_read_one_at_a_time():
    held = []

    def read(image):
        held.append(1)
        return image

    images = windows(scene(), [(0, 0), (4, 1)])
    frames = tuple(
        Frame(lambda image=image: read(image), number=i)
        for i, image in enumerate(images)
    )
    assert not held
    assert find_drift(Frames(frames))["x"].round(2).tolist() == [0, 4]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((32, 32))] * 2, "32, 32. equal values"),
        ([np.full((32, 32), np.nan)] * 2, "finite intensities; 1024 are not"),
        ([scene(32), scene(40)], r"expected \(32, 32\) pixels.*got \(40, 40\)"),
    ],
)
def test_frames_that_cannot_be_used(images, message):
    with pytest.raises(DataError, match=message):
        find_drift(movie_of(images))
    with pytest.raises(ValueError, match="max_step"):
        find_drift(movie_of([scene(32)]), max_step=0)


def test_steps_beyond_the_longest_are_not_sought():
    images = windows(scene(), [(0, 0), (14, 3)])
    assert pd.Series(found(images)[1]).round(1).tolist() == [14, 3]
    assert np.abs(found(images, max_step=5.0)[1]).max() < 8


def lattice(seed, changed=0.1):
    """Eight frames of 20 x 20 atoms, 10 pixels apart, some of which move anew."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-3:24, -3:24].reshape(2, -1)
    atoms = np.stack([columns, rows], axis=1) * 10.0
    steps = np.cumsum(rng.normal(0, 1.5, (8, 2)), axis=0)
    steps -= steps[0]
    images = []
    for step in steps:
        here, moves = atoms + step, rng.random(len(atoms)) < changed
        here[moves] += rng.normal(0, 7, (moves.sum(), 2))
        mean = render_atoms(here, np.full(len(atoms), 100.0), 2.5, (200, 200)) + 20
        images.append(rng.poisson(mean))
    return images, steps


@pytest.mark.parametrize("seed", [2, 3])
def test_a_step_of_half_a_lattice_vector_is_told_by_pairs_farther_apart(seed):
    """The longest step, alone, is as likely as another."""
    images, steps = lattice(seed)
    drift = find_drift(movie_of(images))
    assert np.abs(drift[["x", "y"]] - steps).to_numpy().max() < 0.5
    longest = 1 + np.hypot(*np.diff(steps, axis=0).T).argmax()
    both = find_drift(movie_of(images[longest - 1 : longest + 1]))
    assert both["slip"].iloc[1] > 0.01


def test_slips_are_told_by_the_surest_pairs():
    """Frames two apart say that the step from 1 to 2 is not the 9 pixels it seems."""
    step = np.array([1.0, 0])
    pairs = [
        Pair(first=0, second=1, step=step, error=0.1, margin=8.0, distance=10.0),
        Pair(
            first=1,
            second=2,
            step=np.array([-9.0, 0]),
            error=0.1,
            margin=0.2,
            distance=10.0,
        ),
        Pair(first=2, second=3, step=step, error=0.1, margin=8.0, distance=10.0),
        Pair(first=0, second=2, step=2 * step, error=0.1, margin=3.0, distance=10.0),
        Pair(first=1, second=3, step=2 * step, error=0.1, margin=2.0, distance=10.0),
    ]
    kept, slip = settled(pairs, 4)
    assert [(pair.first, pair.second) for pair in kept] == [
        (0, 1),
        (2, 3),
        (0, 2),
        (1, 3),
    ]
    certain = 1 / (1 + np.exp(-np.array([8.0, 3.0])))
    np.testing.assert_allclose(
        slip, [0, 1 - certain[0], 1 - certain[1], 1 - certain.prod()], atol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_errors_are_those_made(noise):
    """RMS of what is wrong, in stated errors, over movies of ten frames.

    Places of one movie share the first frame's error, so eight movies are some thirty
    independent values: 13 %, and as much for errors told from a few dozen parts.
    """
    wrong = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        whole = scene(200, 3.0, seed)
        whole /= whole.std()
        steps = np.cumsum(rng.normal(0, 2, (10, 2)), axis=0)
        steps -= steps[0]
        images = [
            shift(whole, s[::-1], order=5)[30:158, 30:158]
            + rng.normal(0, noise, (128, 128))
            for s in steps
        ]
        drift = find_drift(movie_of(images))
        assert (drift["slip"] < 0.01).all()
        away = drift[["x", "y"]].to_numpy() - steps
        wrong.append(away[1:] / drift["error"].to_numpy()[1:, None])
    assert 0.8 < np.sqrt(np.mean(np.square(wrong))) < 1.25


def test_poled_frames_have_a_shorter_longest_step():
    """A tenth of 96 pixels: contrast that turned over fits far away by chance."""
    images = windows(scene(), [(0, 0), (14, 3)])
    both = [np.stack([image, image], axis=-1) for image in images]
    movie = movie_of(both, channels=("Height", "AmplitudeRetrace"))
    assert np.hypot(*find_drift(movie)[["x", "y"]].iloc[1]) < 9.6 + 3
    other = find_drift(movie_of(both, channels=("HAADF", "BF")))
    np.testing.assert_allclose(other[["x", "y"]].iloc[1], [14, 3], atol=1e-3)


def test_the_real_poled_series_needs_no_longest_step(shared_data):
    """As with 15 pixels, which a person chose."""
    from benchmarks.drift import _channels

    files = sorted((shared_data / "pfm" / "nsid").glob("PZT_final000[1-3].h5"))
    names = ("AmplitudeRetrace", "PhaseRetrace")
    movie = movie_of([_channels(path, names) for path in files], channels=names)
    for name in names:
        drift = find_drift(movie, channel=name)
        chosen = find_drift(movie, channel=name, max_step=15)
        np.testing.assert_allclose(drift[["x", "y"]], chosen[["x", "y"]], atol=0.01)
        assert np.abs(drift[["x", "y"]]).to_numpy().max() < 6
