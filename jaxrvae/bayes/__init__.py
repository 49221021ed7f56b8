"""Bayesian inference with a fitted model: NumPyro programs, chains, shared priors."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrvae.bayes.chains import Chains
    from jaxrvae.bayes.checks import (
        Calibration,
        calibrate,
        predictive,
        prior_predictive,
        surprise,
    )
    from jaxrvae.bayes.choice import compare_evidence, to_inference_data
    from jaxrvae.bayes.content import GroupContent, pool_content
    from jaxrvae.bayes.decoder import LastLayer, last_layer, member_std
    from jaxrvae.bayes.fields import FieldContent, smooth_content
    from jaxrvae.bayes.nuts import sample_posterior
    from jaxrvae.bayes.refined import RefinedContent, refine
    from jaxrvae.bayes.spatial import NeighbourClasses, pool_classes
    from jaxrvae.bayes.structured import follow_angles, pool_angles
    from jaxrvae.bayes.svi import fit_svi, numpyro_program
    from jaxrvae.bayes.tables import AngleTable, angle_table
    from jaxrvae.bayes.tracks import TrackContent, follow_content

_HOMES = {
    "AngleTable": "tables",
    "Calibration": "checks",
    "Chains": "chains",
    "FieldContent": "fields",
    "GroupContent": "content",
    "LastLayer": "decoder",
    "NeighbourClasses": "spatial",
    "RefinedContent": "refined",
    "TrackContent": "tracks",
    "angle_table": "tables",
    "calibrate": "checks",
    "compare_evidence": "choice",
    "fit_svi": "svi",
    "follow_angles": "structured",
    "follow_content": "tracks",
    "last_layer": "decoder",
    "member_std": "decoder",
    "numpyro_program": "svi",
    "pool_angles": "structured",
    "pool_classes": "spatial",
    "pool_content": "content",
    "predictive": "checks",
    "prior_predictive": "checks",
    "refine": "refined",
    "sample_posterior": "nuts",
    "smooth_content": "fields",
    "surprise": "checks",
    "to_inference_data": "choice",
}
__all__ = [
    "AngleTable",
    "Calibration",
    "Chains",
    "FieldContent",
    "GroupContent",
    "LastLayer",
    "NeighbourClasses",
    "RefinedContent",
    "TrackContent",
    "angle_table",
    "calibrate",
    "compare_evidence",
    "fit_svi",
    "follow_angles",
    "follow_content",
    "last_layer",
    "member_std",
    "numpyro_program",
    "pool_angles",
    "pool_classes",
    "pool_content",
    "predictive",
    "prior_predictive",
    "refine",
    "sample_posterior",
    "smooth_content",
    "surprise",
    "to_inference_data",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
