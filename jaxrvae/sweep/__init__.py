"""Many configurations of one experiment, trained, scored and compared."""

from jaxrvae.sweep.axes import (
    Axis,
    Point,
    Sweep,
    chosen,
    conditional,
    grid,
    log_uniform,
    random,
    uniform,
    zipped,
)

__all__ = [
    "Axis",
    "Point",
    "Sweep",
    "chosen",
    "conditional",
    "grid",
    "log_uniform",
    "random",
    "uniform",
    "zipped",
]
