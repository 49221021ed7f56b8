import numpy as np
import pandas as pd
import pytest

import jaxrvae as jr
from jaxrvae.locate import atom_training
from jaxrvae.locate.atom_net import SPACING, WEIGHTS, load_net, scaled, seek_by_net

BOND = 0.142  # nm


def graphene(seed=0, **options):
    options = {"num_frames": 1, "size": 128, "silicon_fraction": 0.03} | options
    return jr.simulate("graphene", seed=seed, **options)


def matched(found, truth, reach):
    """Distances of the pairs that are nearest to each other, and both rows."""
    from scipy.spatial import KDTree

    distance, second = KDTree(truth[["x", "y"]]).query(found[["x", "y"]])
    first = KDTree(found[["x", "y"]]).query(truth[["x", "y"]])[1]
    mutual = first[second] == np.arange(len(found))
    near = mutual & (distance < reach)
    return distance[near], np.flatnonzero(near), second[near]


def inner(table, margin=6, size=128):
    return (
        table[["x", "y"]].apply(lambda v: v.between(margin, size - margin)).all(axis=1)
    )


def scores(movie, found):
    truth = movie.truth["atoms"].reset_index(drop=True)
    _, first, second = matched(found, truth, BOND / 2 / movie.pixel_size)
    seen, believed = inner(truth), inner(found)
    recall = seen.iloc[second].sum() / seen.sum()
    precision = believed.iloc[first].sum() / believed.sum()
    return recall, precision


def test_weights_are_small_and_in_the_package():
    assert WEIGHTS.stat().st_size < 4e6
    assert load_net() is load_net()


@pytest.mark.slow
def test_atoms_are_found_where_noise_hides_them():
    """At 2e4 electrons per square angstrom a carbon atom's peak is 0.65 counts."""
    movie = graphene(dose=2e4)
    network = scores(movie, jr.find_atoms(movie, method="network", spacing=BOND))
    alone = scores(movie, jr.find_atoms(movie, spacing=BOND))
    assert min(network) > 0.9
    assert min(network) > min(alone) + 0.05


@pytest.mark.slow
def test_good_images_are_as_good_and_silicon_is_heavy():
    movie = graphene(dose=3e5)
    found = jr.find_atoms(movie, method="network", spacing=BOND)
    assert min(scores(movie, found)) > 0.97
    truth = movie.truth["atoms"].reset_index(drop=True)
    distance, first, second = matched(found, truth, 3.0)
    # 1.5 times the bound of lone atoms, which overlap is not in
    bound = movie.truth["noise"]["position_bound"]["C"]
    kept = inner(found).iloc[first].to_numpy()
    assert np.sqrt(np.mean(distance[kept] ** 2) / 2) < 1.5 * bound
    silicon = (truth["element"].iloc[second] == "Si").to_numpy()
    heavy = found["heavy"].to_numpy()[first] > 0.5
    assert (heavy == silicon)[kept].mean() > 0.98
    assert found["confidence"].between(0, 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_atoms_at_the_edge_lie_inside_and_are_no_brighter(seed):
    """A centre outside the image is known from its flank alone, its height is not."""
    options = {"num_frames": 1, "size": 128, "snr": 3.0, "silicon_fraction": 0.0}
    movie = jr.simulate("graphene", seed=seed, **options)
    found = jr.find_atoms(movie, method="network", spacing=0.142)
    assert found[["x", "y"]].min().min() >= 0
    assert found[["x", "y"]].max().max() <= 127
    assert found["intensity"].max() < 1.6 * found["intensity"].median()


def test_scaled_images_have_the_networks_spacing():
    rows, columns = np.mgrid[:120, :90]
    image = np.cos(2 * np.pi * columns / 15) + np.cos(2 * np.pi * rows / 15)
    seen = scaled(image.astype(float), 15.0)
    assert seen.shape == (48, 36)
    assert abs(seen.mean()) < 1e-5
    spectrum = np.abs(np.fft.rfft(seen.mean(0) * np.hanning(36)))[1:]
    assert 1 + spectrum.argmax() == 36 / SPACING


def test_positions_are_those_of_the_image_whatever_its_scale():
    """A lattice drawn at two scales: the same atoms, in pixels of each."""
    found = []
    for spacing in (8.0, 16.0):
        movie = graphene(
            pixel_size=BOND / spacing,
            size=int(16 * spacing),
            dose=1e6,
            vacancy_fraction=0,
        )
        table = seek_by_net(movie[0].values.astype(float), spacing)
        truth = movie.truth["atoms"]
        distance, *_ = matched(table, truth, spacing / 2)
        found.append(np.median(distance) / spacing)
    assert max(found) < 0.12


def test_images_drawn_for_training_hold_their_atoms():
    rng = np.random.default_rng(0)
    for _ in range(4):
        image, atoms = atom_training.draw(rng)
        assert image.shape == (atom_training.SIZE,) * 2
        marks = atom_training.marked(atoms)
        assert marks.min() >= 0
        assert marks.max() <= 1
        assert (marks[..., 1] <= marks[..., 0]).all()
        inside = atoms[atoms[["x", "y"]].apply(lambda v: v.between(0, 95)).all(axis=1)]
        columns, rows = np.rint(inside[["x", "y"]].to_numpy()).astype(int).T
        assert marks[rows, columns, 0].min() > 0.7


@pytest.mark.slow
def test_training_writes_a_network_that_is_read(tmp_path):
    path = tmp_path / "net.npz"
    atom_training.main(
        ["--out", str(path), "--num-images", "36", "--epochs", "1", "--seed", "1"]
    )
    net = load_net(path)
    table = seek_by_net(np.random.default_rng(0).random((40, 50)), 6.0, net)
    assert isinstance(table, pd.DataFrame)
    assert list(table) == ["x", "y", "confidence", "heavy"]
