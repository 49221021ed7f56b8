"""The installed package imports whole, from outside the checkout given as argument."""

import importlib
import importlib.metadata
import pkgutil
import sys
from pathlib import Path

import jaxrvae

home = Path(jaxrvae.__file__).resolve()
assert Path(sys.argv[1]).resolve() not in home.parents, f"imported from {home}"
assert jaxrvae.__version__ == importlib.metadata.version("jaxrvae")
for module in pkgutil.walk_packages(jaxrvae.__path__, "jaxrvae."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name in jaxrvae.__all__:
    getattr(jaxrvae, name)
for name in ("CHANGELOG.md", "py.typed"):
    assert home.with_name(name).is_file(), f"{name} is not in the wheel"
