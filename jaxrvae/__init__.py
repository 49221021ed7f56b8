"""Rotationally invariant variational autoencoders for microscopy, in JAX.

`import jaxrvae as jr`; every public name is loaded when it is first used, so that
importing the package starts no device and reads no plotting or file-format library.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from jaxrvae._checks import DataError, RunError
from jaxrvae._version import __version__

if TYPE_CHECKING:
    from jaxrvae import bayes, distributions
    from jaxrvae._compile import keep_compiled
    from jaxrvae.analysis.clusters import find_classes
    from jaxrvae.analysis.pathways import find_pathways
    from jaxrvae.data.containers import Frame, Frames, Latents, Patches
    from jaxrvae.data.patches import cut_patches
    from jaxrvae.data.read import read
    from jaxrvae.estimator import RVAE
    from jaxrvae.locate.align import correct_drift, mean_frame
    from jaxrvae.locate.atoms import find_atoms
    from jaxrvae.locate.domains import measure_domains
    from jaxrvae.locate.drift import find_drift
    from jaxrvae.locate.grid import grid_points
    from jaxrvae.locate.hops import measure_hops
    from jaxrvae.locate.lattice import fit_lattice
    from jaxrvae.locate.lines import correct_lines
    from jaxrvae.locate.polarity import find_polarity
    from jaxrvae.locate.tracking import link
    from jaxrvae.locate.walls import find_walls
    from jaxrvae.pipeline import run
    from jaxrvae.report import write_report
    from jaxrvae.simulate import simulate

__all__ = [
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

_HOMES = {
    "Frame": "jaxrvae.data.containers",
    "Frames": "jaxrvae.data.containers",
    "Latents": "jaxrvae.data.containers",
    "Patches": "jaxrvae.data.containers",
    "RVAE": "jaxrvae.estimator",
    "correct_drift": "jaxrvae.locate.align",
    "correct_lines": "jaxrvae.locate.lines",
    "cut_patches": "jaxrvae.data.patches",
    "find_atoms": "jaxrvae.locate.atoms",
    "find_classes": "jaxrvae.analysis.clusters",
    "find_drift": "jaxrvae.locate.drift",
    "find_pathways": "jaxrvae.analysis.pathways",
    "find_polarity": "jaxrvae.locate.polarity",
    "find_walls": "jaxrvae.locate.walls",
    "fit_lattice": "jaxrvae.locate.lattice",
    "grid_points": "jaxrvae.locate.grid",
    "keep_compiled": "jaxrvae._compile",
    "link": "jaxrvae.locate.tracking",
    "mean_frame": "jaxrvae.locate.align",
    "measure_domains": "jaxrvae.locate.domains",
    "measure_hops": "jaxrvae.locate.hops",
    "read": "jaxrvae.data.read",
    "run": "jaxrvae.pipeline",
    "simulate": "jaxrvae.simulate",
    "write_report": "jaxrvae.report",
}


_ROOMS = ("bayes", "distributions")  # public as wholes


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps a public function from being hidden by a subpackage of the same name.

    Importing `jaxrvae.simulate` would bind the subpackage over the function; it stays
    reachable by `from jaxrvae.simulate import ...`.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
