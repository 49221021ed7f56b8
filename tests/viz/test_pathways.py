import numpy as np
import pandas as pd
import pytest

from jaxrvae.analysis.pathways import find_pathways
from jaxrvae.viz.pathways import energy_map, pathway_figures

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dims", [1, 3])
def test_every_number_of_contents_has_its_map(dims):
    rng = np.random.default_rng(0)
    content = rng.normal(size=(300, dims))
    content[:, 0] += np.where(np.arange(300) % 2, 2.0, -2.0)
    table = pd.DataFrame(content, columns=[f"content_{i}" for i in range(dims)])
    table["frame"] = np.arange(300) // 100
    found = find_pathways(table, num_states=2, num_bootstraps=2)
    names = [name for name, _ in pathway_figures(found)]
    assert names[:2] == ["shares", "free_energy"]
    axis = energy_map(found).axes[0]
    assert axis.get_xlabel() == (
        "content 0" if dims == 1 else "first principal content"
    )
