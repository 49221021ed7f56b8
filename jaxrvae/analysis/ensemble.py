"""Models of several seeds that speak as one."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._typing import ndarray
from jaxrvae.analysis.agreement import Alignment, align, consensus, most_agreed
from jaxrvae.data.containers import Latents
from jaxrvae.data.mapped import sample_rows
from jaxrvae.models.fitted import SAMPLE, FittedModel


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """Members, and how each one's terms go over into the reference's.

    Attributes:
        reference: The member that the others agree with best.
    """

    members: Sequence[FittedModel]
    alignments: Sequence[Alignment]
    reference: int

    def encode(
        self, given: dict[str, ndarray], table: pd.DataFrame | None = None
    ) -> Latents:
        """What all members together say of the images."""
        found = [read(member, given, table) for member in self.members]
        return consensus(found, self.alignments, self.reference)

    def arrays(self) -> dict[str, ndarray]:
        """The alignments, to be written."""
        fields = dataclasses.fields(Alignment)
        return {
            f"{field.name}/{i}": np.asarray(getattr(alignment, field.name))
            for i, alignment in enumerate(self.alignments)
            for field in fields
        }


def join(members: Sequence[FittedModel], given: dict[str, ndarray]) -> Ensemble:
    """The ensemble, aligned by the images trained on, or by an even share of them."""
    sample = sample_rows(given, SAMPLE)
    found = [read(member, sample) for member in members]
    reference = most_agreed(found)
    ways = [align(latents, found[reference]) for latents in found]
    return Ensemble(members, ways, reference)


def from_arrays(
    members: Sequence[FittedModel], arrays: Mapping[str, ndarray], reference: int
) -> Ensemble:
    """The ensemble whose alignments these are."""
    names = [field.name for field in dataclasses.fields(Alignment)]
    ways = [
        Alignment(**{name: arrays[f"{name}/{i}"] for name in names})
        for i in range(len(members))
    ]
    return Ensemble(members, ways, reference)


def read(
    fitted: FittedModel, given: dict[str, ndarray], table: pd.DataFrame | None = None
) -> Latents:
    """What one model says of the images; their table is empty if there is none."""
    found: dict[str, Any] = dict(fitted.encode(given))
    known = fitted.known
    if known.inferred:
        both = found["condition"], found["condition_std"]
        found["condition"], found["condition_std"] = known.recorded_conditions(*both)
    else:
        del found["condition"], found["condition_std"]
    if table is None:
        table = pd.DataFrame(index=range(len(given["images"])))
    return Latents(**found, table=table)
