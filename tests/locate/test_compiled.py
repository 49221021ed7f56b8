"""What is compiled for some frames of a size serves all of them."""

import pytest

from benchmarks._compile import CompileClock
from jaxrvae.locate.atoms import find_atoms
from jaxrvae.simulate import simulate

BOND = 0.142  # nm; found anew for each movie, it may call for another window


def sheet(seed, num_frames=1, vacancies=0.01, dose=1e5):
    return simulate(
        "graphene",
        seed=seed,
        num_frames=num_frames,
        size=96,
        vacancy_fraction=vacancies,
        dose=dose,
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gaussians", "network"])
def test_frames_of_one_size_compile_nothing_more(method):
    """Of other numbers of atoms, other doses, and in longer movies.

    Numbers of atoms are padded to few; 80 and some fall in one bucket (64 to 96).
    """
    find_atoms(sheet(3, num_frames=4), method=method, spacing=BOND)
    movies = (
        sheet(0, vacancies=0.0),
        sheet(1, vacancies=0.03),
        sheet(2, vacancies=0.02, dose=3e5),
        sheet(4, num_frames=6),
    )
    clock = CompileClock()
    counts = []
    for movie in movies:
        found = find_atoms(movie, method=method, spacing=BOND)
        counts += found.groupby("frame").size().tolist()
    assert clock.num_programs == 0
    assert len(set(counts)) >= 3
