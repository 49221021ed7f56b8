"""Which model the patches speak for: evidence, and leave-one-out by ArviZ.

`compare_evidence` takes any fitted models and patches that none of them has seen.
`to_inference_data` draws the decoder's last layer from its posterior and keeps what
every draw says of every patch, so that `arviz.loo` and `arviz.compare` tell how well
patches are foreseen from the others, on those that were fitted on.

Source: Burda et al. 2016, arXiv:1509.00519; Vehtari, Gelman & Gabry 2017, Stat. Comput.
27, 1413 (PSIS-LOO); Vehtari et al. 2024, J. Mach. Learn. Res. 25, 72 (Pareto's k).
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxrvae._checks import whole
from jaxrvae._typing import ndarray
from jaxrvae.bayes.arviz import load_arviz
from jaxrvae.bayes.decoder import last_layer
from jaxrvae.bayes.given import given
from jaxrvae.models.fitted import FittedModel
from jaxrvae.objectives.evidence import log_evidence, log_weights

DOUBTFUL = 0.7  # Pareto's k, from which on an estimate cannot be relied on


def compare_evidence(
    models: Mapping[str, Any], patches: Any, num_samples: int = 100
) -> pd.DataFrame:
    """Evidence of models whose prior, content dims, decoder or likelihood differ.

    Args:
        models: Fitted RVAEs without conditions, of patches of the same shape, by name.
        patches: That none of them was fitted on.
        num_samples: Of the content, for the importance-weighted bound.

    Returns:
        A row a model, the best first: `nats` a patch and their standard error;
        `behind` the best, and the standard error of that difference; `doubtful`, the
        share of patches whose importance weights have Pareto's k above 0.7 (needs the
        package arviz, else NaN): more samples, or `sample_posterior`, are called for.

    Raises:
        DataError: If models and patches do not go together.
    """
    if not models:
        raise ValueError("models must hold one at least.")
    whole("num_samples", num_samples, 2)
    each, doubtful = {}, {}
    for name, model in models.items():
        fitted = model if isinstance(model, FittedModel) else model.fitted
        images = fitted.images_of(patches, f"model {name!r}")
        if fitted.known.condition_dim:
            raise ValueError(f"model {name!r} has conditions; compare those without.")
        weights = log_weights(fitted, {"images": images}, num_samples)
        each[name] = np.logaddexp.reduce(weights, axis=1) - np.log(num_samples)
        doubtful[name] = _doubtful(weights)
    means = {name: values.mean() for name, values in each.items()}
    best = max(means, key=lambda name: means[name])
    rows = []
    for name in sorted(each, key=lambda name: -means[name]):
        behind = each[best] - each[name]
        rows.append(
            {
                "model": name,
                "nats": means[name],
                "nats_se": _error(each[name]),
                "behind": behind.mean(),
                "behind_se": _error(behind),
                "doubtful": doubtful[name],
            }
        )
    return pd.DataFrame(rows).set_index("model")


def to_inference_data(
    model: Any,
    patches: Any,
    num_draws: int = 100,
    num_samples: int = 16,
    seed: int = 0,
) -> Any:
    """Posterior of the decoder's last layer and log likelihoods, for ArviZ.

    Group `log_likelihood` has "image" (chain, draw, patch), content and pose
    integrated out; `posterior` has "weight" (chain, draw, hidden, coefficient). Needs
    the package arviz.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.
        patches: Those that it was fitted on.
        num_samples: Of the content.
    """
    arviz = load_arviz()
    whole("num_draws", num_draws, 2)
    own = given(model, patches, "to_inference_data")
    known = last_layer(own.fitted, own.images)
    nats, kernels = [], []
    for i in range(num_draws):
        params = known.draw(jax.random.key(seed + i))
        drawn = dataclasses.replace(own.fitted, params=params)
        nats.append(log_evidence(drawn, {"images": own.images}, num_samples))
        kernels.append(np.asarray(params["decoder"]["out"]["kernel"][...]))
    return arviz.from_dict(
        posterior={"weight": np.stack(kernels)[None]},
        log_likelihood={"image": np.stack(nats)[None]},
        dims={"image": ["patch"]},
    )


def _doubtful(weights: ndarray) -> float:
    """Share of the rows (patch, sample) with a Pareto's k that is too large."""
    try:
        arviz = load_arviz()
    except ImportError:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = [float(arviz.psislw(row.astype(np.float64))[1]) for row in weights]
    return float((np.array(shapes) > DOUBTFUL).mean())


def _error(values: ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
