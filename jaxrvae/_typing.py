"""Array aliases and the words for axes used in every annotation.

Axis words: batch height width channel latent cls point frame turn order coef place.
"""

from jaxtyping import Array, Bool, Complex, Float, Int, Key, Shaped
from numpy import ndarray

PRNGKey = Key[Array, ""]
Number = float | int  # the checker of tests takes `float` to the letter

__all__ = [
    "Array",
    "Bool",
    "Complex",
    "Float",
    "Int",
    "Key",
    "Number",
    "PRNGKey",
    "Shaped",
    "ndarray",
]
