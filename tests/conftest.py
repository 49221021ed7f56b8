"""Settings and fixtures for all tests. Set before anything imports JAX."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # NPROC: XLA's pool of threads
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAXRVAE_CACHE", "")  # tests compile for themselves


MOST_MEMORY = 2.5e9  # bytes of a worker


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_let_go():
    """What a module compiled is kept for the next ones only while memory allows it."""
    yield
    import psutil

    if psutil.Process().memory_info().rss > MOST_MEMORY:
        import jax

        jax.clear_caches()


@pytest.fixture
def strict_numerics():
    """Forbid implicit promotion of ranks and dtypes."""
    import jax

    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
    ):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real microscopy data, or a skip where there is none."""
    default = Path(__file__).parents[1] / "../shared/data"
    folder = Path(os.environ.get("JAXRVAE_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip("no real data here: set JAXRVAE_DATA to its folder")
    return folder


@pytest.fixture(scope="module")
def compile_once(tmp_path_factory):
    """Programs that differ in nothing are compiled once for the whole module."""
    import jax

    names = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in names.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
