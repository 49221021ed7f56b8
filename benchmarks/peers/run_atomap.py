"""Atoms of images by atomap: maxima, centers of mass, then 2-D Gaussians.

    .bench/atomap/bin/python -m benchmarks.peers.run_atomap images.npz found.npz

Run in the environment that `python -m benchmarks.doses --install` makes. atomap's own
way: local maxima, refined by the center of mass and then by a 2-D Gaussian with its own
options. The distance of neighbours is given, as to ours. It leaves the noise to its
user, who looks at the maxima and tries again: here the image is smoothed by each of
SMOOTH and the maxima kept apart by each of APART, and the pair that finds the truth
best (F1) is taken, in atomap's favour. Refined are the pixels as they are.
"""

import argparse
import contextlib
import io
import itertools
import json
import warnings

import numpy as np

SMOOTH = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the probe's sigma
APART = (0.35, 0.5, 0.65)  # of the distance of neighbours


def maxima(image, truth, distance: float, sigma: float):
    """(n, 2) whole pixels (x, y), those that agree best with the truth."""
    import atomap.api as am
    import hyperspy.api as hs
    from scipy.ndimage import gaussian_filter

    tried = [
        np.reshape(
            am.get_atom_positions(
                hs.signals.Signal2D(gaussian_filter(image, smooth * sigma)),
                separation=max(1, round(apart * distance)),
            ),
            (-1, 2),
        )
        for smooth, apart in itertools.product(SMOOTH, APART)
    ]
    return max(tried, key=lambda places: agreement(places, truth, distance / 2))


def agreement(places, truth, reach: float) -> float:
    """F1 of pairs that are each other's nearest."""
    from scipy.spatial import KDTree

    if not len(places):
        return 0.0
    away, nearest = KDTree(truth).query(places)
    back = KDTree(places).query(truth)[1]
    right = (back[nearest] == np.arange(len(places))) & (away < reach)
    return 2 * right.sum() / (len(places) + len(truth))


def refined(image, places):
    """(n, 2) positions (x, y), pixels."""
    import atomap.api as am

    lattice = am.Sublattice(places, image=image)
    lattice.find_nearest_neighbors()
    lattice.refine_atom_positions_using_center_of_mass(show_progressbar=False)
    with contextlib.suppress(ValueError):  # its fit may end at NaN, and stop there
        lattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
    return np.stack([lattice.x_position, lattice.y_position], axis=1)


def main() -> None:
    """Finds the atoms of every image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help=".npz: images, truth_0, ..., distance, sigma")
    parser.add_argument("found", help=".npz: an array for each, by its index")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    from importlib.metadata import version

    given = np.load(options.images)
    distance, sigma = float(given["distance"]), float(given["sigma"])
    found = {}
    for i, image in enumerate(given["images"]):
        with contextlib.redirect_stdout(io.StringIO()):
            places = maxima(image, given[f"truth_{i}"], distance, sigma)
            found[str(i)] = refined(image, places)
    np.savez(options.found, **found)
    names = ("atomap", "hyperspy", "numpy", "scipy")
    print(json.dumps({name: version(name) for name in names}))


if __name__ == "__main__":
    main()
