import os
import subprocess
import sys
import textwrap

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
    "cut_patches",
    "find_atoms",
    "find_classes",
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
        assert callable(value)
        assert value.__name__ == name
        assert value.__doc__


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'RVEA'"):
        jr.RVEA  # noqa: B018


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


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import jaxrvae.simulate",
        "jr.simulate; import jaxrvae.simulate",
        "from jaxrvae.simulate import simulate",
        "import importlib; importlib.import_module('jaxrvae.simulate')",
    ],
)
def test_simulate_is_the_function_whatever_was_imported(before):
    found = in_new_process(f"""
        import jaxrvae as jr
        {before}
        from jaxrvae import simulate
        print(type(jr.simulate).__name__, jr.simulate is simulate)
    """)
    assert found == "function True"
