import os
import subprocess
import sys
import textwrap

import jaxtyping
import numpy as np
import pytest

import jaxrvae as jr

PUBLIC = [
    "RVAE",
    "DataError",
    "Frame",
    "Frames",
    "Latents",
    "Patches",
    "RunError",
    "__version__",
    "bayes",
    "correct_drift",
    "correct_lines",
    "cut_patches",
    "distributions",
    "find_atoms",
    "find_classes",
    "find_drift",
    "find_pathways",
    "find_polarity",
    "find_walls",
    "fit_lattice",
    "grid_points",
    "keep_compiled",
    "link",
    "mean_frame",
    "measure_domains",
    "measure_hops",
    "read",
    "run",
    "simulate",
    "write_report",
]
HEAVY = "flax h5py matplotlib numpyro optax orbax rsciio skimage sklearn tifffile"


def in_new_process(code: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_public_names_are_these():
    assert jr.__all__ == PUBLIC
    assert set(PUBLIC) <= set(dir(jr))


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_loaded(name):
    value = getattr(jr, name)
    if name != "__version__":
        assert value.__doc__
    if name not in ("__version__", "bayes", "distributions"):
        assert callable(value)
        assert value.__name__ == name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'RVEA'"):
        jr.RVEA  # noqa: B018


@pytest.mark.slow
def test_import_is_light_and_starts_no_device():
    found = in_new_process(f"""
        import sys
        import jaxrvae
        print([name for name in "{HEAVY}".split() if name in sys.modules])
        import jaxrvae.data.containers
        print([name for name in "{HEAVY}".split() if name in sys.modules])
        from jax._src import xla_bridge
        print(xla_bridge.backends_are_initialized())
    """)
    assert found.split("\n") == ["[]", "[]", "False"]


@pytest.mark.slow
def test_simulate_is_the_function_whatever_was_imported_before():
    found = in_new_process("""
        import importlib, sys

        for before in [
            "",
            "import jaxrvae.simulate",
            "jaxrvae.simulate; import jaxrvae.simulate",
            "from jaxrvae.simulate import simulate",
            "importlib.import_module('jaxrvae.simulate')",
        ]:
            for name in [name for name in sys.modules if name.startswith("jaxrvae")]:
                del sys.modules[name]
            import jaxrvae
            exec(before)
            from jaxrvae import simulate
            function = sys.modules["jaxrvae.simulate"].simulate
            print(jaxrvae.simulate is simulate is function, type(function).__name__)
    """)
    assert found.split("\n") == ["True function"] * 5


def test_array_types_are_checked_while_testing():
    from jaxrvae.geometry.circle import wrap

    with pytest.raises(jaxtyping.TypeCheckError, match="wrap"):
        wrap(np.arange(3))  # integers, where floats are declared
