"""ArviZ, where it is installed."""

import warnings
from typing import Any


def load_arviz() -> Any:
    """The package, without what it says about itself at import.

    Raises:
        ImportError: It is not installed, with the way to get it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import arviz
    except ImportError as error:
        raise ImportError("this needs ArviZ: pip install 'jaxrvae[bayes]'.") from error
    return arviz
