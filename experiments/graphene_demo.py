"""A simulated graphene movie, the whole way, held against its truth.

    python -m experiments.graphene_demo --out runs/graphene_demo

Two grains meet; 3 % of the sites hold Si that hops, some are empty; Poisson noise. Two
CPU cores, about a minute. Numbers to reach, of the atoms that have a patch: a class of
Si holds >= 97 % of the true Si and little else, in every frame.
"""

import argparse
import sys

import numpy as np
import pandas as pd

from jaxrvae.config import RunConfig
from jaxrvae.pipeline import demo_config, run
from jaxrvae.report import Result

REACH = 4.0  # pixels between an atom found and the true one


def config(out: str = "runs/graphene_demo", seed: int = 0) -> RunConfig:
    """The settings of `jaxrvae demo`."""
    return demo_config(out, seed)


def main(argv: list[str] | None = None) -> int:
    """Runs it and prints how the classes go with the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/graphene_demo")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    found = score(run(config(options.out, options.seed)))
    for name, value in found.items():
        print(f"{name}: {value:.3f}")
    return 0


def score(result: Result) -> dict[str, float]:
    """Share of the Si found, how pure their class is, and in how many frames."""
    is_silicon = sites(result) == "Si"
    labels, frames = result.classes.labels, result.latents.table["frame"].to_numpy()
    own = labels == np.bincount(labels[is_silicon]).argmax()
    with_silicon = np.unique(frames[is_silicon])
    return {
        "Si in their class": float(own[is_silicon].mean()),
        "Si among the class": float(is_silicon[own].mean()),
        "frames that show it": float(np.isin(with_silicon, frames[own]).mean()),
    }


def sites(result: Result) -> np.ndarray:
    """The true site of every patch: C, Si, next to Si ..., or false."""
    from scipy.spatial import KDTree

    truth, table = result.frames.truth["atoms"], result.latents.table
    found = pd.Series("false", index=table.index)
    for number, rows in table.groupby("frame"):
        here = truth[truth["frame"] == number]
        distance, nearest = KDTree(here[["x", "y"]]).query(rows[["x", "y"]])
        named = here["site"].to_numpy()[nearest]
        found[rows.index] = np.where(distance < REACH, named, "false")
    return found.to_numpy()


if __name__ == "__main__":
    sys.exit(main())
