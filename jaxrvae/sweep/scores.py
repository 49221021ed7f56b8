"""How a model does on images that it was not trained on."""

from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Int, ndarray
from jaxrvae.analysis.scores import angle_errors, cluster_accuracy, mixture_accuracy
from jaxrvae.data.containers import Patches
from jaxrvae.estimator import RVAE

NEIGHBORS = 10
NUM_KNOWN = 10_000  # training images whose content the classes are fitted to
NUM_BOUND, NUM_SAMPLES = 256, 100  # images, and samples each, of the bound


def study_scores(
    model: RVAE, train: Patches, test: Patches, labels: float = 0.0
) -> dict[str, float]:
    """Angles, classes and the bound; what has no truth is left out.

    Args:
        labels: Share of the training images whose class was told.

    Returns:
        `R` and `median angle error, degrees` of every class, and of the worst;
        accuracies; `bound, nats per image` and `bound, nats per pixel`.
    """
    truth, told = test.truth, {}
    if truth is not None and labels == 1:
        told = {"labels": truth["shape"].to_numpy()}
    latents = model.encode(test, **told)
    found: dict[str, float] = {}
    if truth is not None and "shape" in truth:
        if model.config.rotated:
            found |= with_worst(angle_scores(latents, test))
        if labels < 1:
            known = train[:NUM_KNOWN]
            named = labels > 0
            found |= class_scores(model.encode(known), latents, known, test, named)
    few = test[:NUM_BOUND]
    told = {name: values[:NUM_BOUND] for name, values in told.items()}
    nats = float(model.log_evidence(few, NUM_SAMPLES, **told).mean())
    found["bound, nats per image"] = nats
    found["bound, nats per pixel"] = nats / few.values[0].size
    return found


def with_worst(found: dict[str, float]) -> dict[str, float]:
    """The same, and the worst class's."""
    errors = [value for name, value in found.items() if name.startswith("median")]
    lengths = [value for name, value in found.items() if name.startswith("R, ")]
    if not lengths:
        return found
    worst = {"R, worst": min(lengths)}
    return worst | {"median angle error, worst, degrees": max(errors)} | found


def angle_scores(latents: Any, test: Patches) -> dict[str, float]:
    """R and the median error in degrees, of every class that has an angle.

    Args:
        latents: Of `encode`; its `angle` is read.
    """
    assert test.truth is not None
    names = test.metadata.get("shapes")
    return angle_truth_scores(latents.angle, test.truth, names)


def angle_truth_scores(
    found: Float[ndarray, " n"], truth: pd.DataFrame, names: Any = None
) -> dict[str, float]:
    """The same of angles (radians) by any program.

    Args:
        truth: `shape`, `angle` and, if wanted, `symmetry` and `name`.
        names: Of the shapes, by their numbers.
    """
    scores: dict[str, float] = {}
    order = np.ones(len(truth), int)
    if "symmetry" in truth:
        order = truth["symmetry"].to_numpy()
    shape, angle = truth["shape"].to_numpy(), truth["angle"].to_numpy()
    for own in np.unique(shape):
        here = (shape == own) & (order > 0)
        if here.sum() < 2:  # one alone has R = 1
            continue
        name = own if names is None else names[own]
        name = truth["name"].to_numpy()[here][0] if "name" in truth else name
        length, errors = angle_errors(found[here], angle[here], int(order[here][0]))
        scores[f"R, {name}"] = length
        median = float(np.degrees(np.median(np.abs(errors))))
        scores[f"median angle error, {name}, degrees"] = median
    return scores


def class_scores(
    known: Any, latents: Any, train: Patches, test: Patches, named: bool
) -> dict[str, float]:
    """Accuracies: a mixture and k-NN on the content, and the model's own classes.

    Args:
        known, latents: Of `encode`, of patches trained on and of others.
        named: Whether the model's classes were told by labels; else they are matched.
    """
    assert train.truth is not None
    assert test.truth is not None
    taught, truth = train.truth["shape"].to_numpy(), test.truth["shape"].to_numpy()
    own = latents.class_probabilities
    found = content_scores(known.content, taught, latents.content, truth)
    if own.shape[1] > 1:
        chosen = own.argmax(1)
        share = (chosen == truth).mean() if named else cluster_accuracy(chosen, truth)
        found["accuracy of its classes"] = float(share)
    return found


def content_scores(
    known: Float[ndarray, "m latent"],
    taught: Int[ndarray, " m"],
    content: Float[ndarray, "n latent"],
    truth: Int[ndarray, " n"],
) -> dict[str, float]:
    """How well classes are told from content: a mixture, and k-NN."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(np.unique(truth)) < 2:
        return {}
    neighbors = KNeighborsClassifier(min(NEIGHBORS, len(taught))).fit(known, taught)
    return {
        "GMM accuracy": mixture_accuracy(known, content, truth),
        "k-NN accuracy": float((neighbors.predict(content) == truth).mean()),
    }
