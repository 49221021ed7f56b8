"""States of simulated graphene under the beam, found in content, against the truth.

    python -m benchmarks.states

Ten frames a seed of 4 nm, at 3e5 electrons per square angstrom: Si with three and with
four neighbors, vacancies and rotated bonds (5-7 rings), which the beam makes and
unmakes. Windows of 0.5 nm around the true positions, content dim 8, rotation alone;
states by `find_states`, with no number given. The content's cost is weighed by beta =
0.3: with 1, kinds that are less than one patch in a hundred may stay within carbon.

`ARI` is the adjusted Rand index over the five kinds: threefold Si, fourfold Si, the
edge of a vacancy, the rotated bond of a 5-7 ring, and pristine carbon, which has no
defect within 0.45 nm. It is dominated by pristine carbon, which is most of all: `ARI
balanced` weighs every kind alike (samples of as many patches of each), and `recall` is
the share of each kind in states that are mostly of that kind (among the five; a kind
that has no state of its own has 0). `ARI all carbon` takes carbon that is
near a defect, though not bonded to it, for pristine; its environment is another, and
the states say so, which that figure counts as wrong. `k-NN` is what a classifier that
is told the kinds makes of the same content (each frame by the others): what the content
lets one reach. States are found in all patches, also those next to Si.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, facts, table, write

ABOUT = __doc__ or ""
MOVIE: dict[str, Any] = {
    "num_frames": 10,
    "size": 256,
    "dose": 3e5,
    "silicon_fraction": 0.02,
    "fourfold_fraction": 0.008,
    "vacancy_fraction": 0.006,
    "flip_rate": 1.5e-3,
    "unflip_rate": 0.1,
    "fourfold_rate": 0.02,
    "threefold_rate": 0.03,
    "adatom_rate": 0.0,
}
WINDOW, SIZE = 0.5, 24  # nm, pixels
MODEL: dict[str, Any] = {"content_dim": 8, "pose": ("rotation",), "num_turns": 12}
FIT: dict[str, Any] = {"objective": {"beta": 0.3}}
FAR = 0.45  # nm from any defect, of pristine carbon
NEAREST = 10
KINDS = {
    "C": "pristine",
    "Si": "Si 3-fold",
    "Si4": "Si 4-fold",
    "Stone-Wales": "5-7 ring",
    "next to vacancy": "vacancy edge",
}
READ: dict[str, dict[str, Any]] = {
    "hdbscan": {"method": "hdbscan"},
    "gmm": {"method": "gmm", "max_states": 24, "num_members": 1},
}
ASKED = {"ARI": 0.95}
PACKAGES = ("jaxrvae", "jax", "numpy", "scikit-learn")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the tables and writes states.md and states.json."""
    parser = argparse.ArgumentParser(description=ABOUT.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one seed, three frames")
    parser.add_argument("--methods", nargs="+", default=list(READ), choices=list(READ))
    parser.add_argument("--contents", type=Path, help="folder that keeps contents")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    frames = 3 if options.small else MOVIE["num_frames"]
    rows: list[dict[str, Any]] = []
    for seed in range(1 if options.small else 5):
        content, patches = encoded(seed, frames, options.contents)
        for method in options.methods:
            rows.append(
                {
                    "seed": seed,
                    "method": method,
                    **score(content, patches, method, seed),
                }
            )
            print(table(rows[-1:]), flush=True)
    rows += [worst(rows, method) for method in options.methods]
    rows.append({"seed": "asked", "method": "any", "ARI": f">= {ASKED['ARI']}"})
    print(table(rows))
    spread = "\n\n".join(
        f"What the seed does, {method}:\n\n{spread_of(rows, method)}"
        for method in options.methods
    )
    told = facts(PACKAGES) | {"movie": MOVIE, "model": MODEL | FIT}
    write(options.out, "states", rows, told, f"{ABOUT}\n\n{spread}")
    return 0


def encoded(
    seed: int, num_frames: int, folder: Path | None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Content of a movie's patches, and their frame, site, kind; kept in the folder."""
    kept = folder / f"states_{seed}_{num_frames}.npz" if folder else None
    if kept is not None and kept.is_file():
        with np.load(kept) as held:
            names = [name for name in held.files if name != "content"]
            return held["content"], pd.DataFrame({name: held[name] for name in names})
    import jaxrvae as jr

    movie = jr.simulate("beam", seed, **MOVIE | {"num_frames": num_frames})
    atoms = movie.truth["atoms"]
    atoms = atoms.assign(kind=kinds_of(atoms, movie.pixel_size))
    patches = jr.cut_patches(movie, atoms, size=SIZE, window=WINDOW)
    model = jr.RVAE(**MODEL, seed=seed)
    latents = model.fit(patches, progress=False, **FIT).encode(patches)
    told = patches.table[["frame", "site", "kind"]].reset_index(drop=True)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        columns = {
            "frame": told["frame"].to_numpy(int),
            "site": told["site"].to_numpy().astype(str),
            "kind": told["kind"].to_numpy().astype(str),
        }
        np.savez(kept, content=latents.content, **columns)
    return latents.content, told


def kinds_of(atoms: pd.DataFrame, pixel_size: float) -> np.ndarray:
    """One of the five for every atom; "" for carbon near a defect, or next to Si."""
    from scipy.spatial import KDTree

    kinds = atoms["site"].map(KINDS).fillna("").to_numpy(object).copy()
    places = atoms[["x", "y"]].to_numpy(float) * pixel_size
    carbon = (atoms["site"] == "C").to_numpy()
    for frame in atoms["frame"].unique():
        here = (atoms["frame"] == frame).to_numpy()
        defects = places[here & ~carbon]
        if len(defects):
            own = np.flatnonzero(here & carbon)
            kinds[own[KDTree(defects).query(places[own])[0] < FAR]] = ""
    return kinds.astype(str)


def score(
    content: np.ndarray, told: pd.DataFrame, method: str, seed: int
) -> dict[str, Any]:
    """The figures of one seed."""
    from sklearn.metrics import adjusted_rand_score

    from benchmarks.graphene import neighbour_accuracy
    from jaxrvae.analysis.states import find_states

    found = find_states(content, seed=seed, **READ[method])
    labels, kinds = found.labels, told["kind"].to_numpy()
    five = kinds != ""
    wide = told["site"].map(KINDS).fillna("").to_numpy()
    rng = np.random.default_rng(0)
    alike = balanced(kinds, rng)
    row: dict[str, Any] = {
        "patches": len(content),
        "scored": int(five.sum()),
        "states": len(found),
        "ARI": adjusted_rand_score(kinds[five], labels[five]),
        "ARI balanced": adjusted_rand_score(kinds[alike], labels[alike]),
        "ARI all carbon": adjusted_rand_score(wide[wide != ""], labels[wide != ""]),
    }
    own = recalls(labels[five], kinds[five])
    row |= {f"recall {kind}": own.get(kind) for kind in KINDS.values()}
    frames = told["frame"].to_numpy()
    row["k-NN"] = neighbour_accuracy(content[five], kinds[five], frames[five])
    return row


def balanced(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows with as many of each kind as of the rarest."""
    names, counts = np.unique(kinds[kinds != ""], return_counts=True)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(kinds == name), counts.min(), replace=False)
            for name in names
        ]
    )


def recalls(labels: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """Share of each kind in states that hold, of all kinds, most of it; -1 is none."""
    counts = pd.crosstab(labels, kinds)
    mostly = counts.idxmax(axis=1)
    return {
        str(kind): float(
            counts.loc[(mostly == kind) & (counts.index >= 0), kind].sum()
            / counts[kind].sum()
        )
        for kind in counts
    }


def worst(rows: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """The least of every figure."""
    own = pd.DataFrame([row for row in rows if row.get("method") == method])
    kept = own.drop(columns=["seed", "method", "patches", "scored", "states"])
    least = {name: float(kept[name].min()) for name in kept}
    return {"seed": "worst", "method": method, **least}


def spread_of(rows: list[dict[str, Any]], method: str) -> str:
    """Mean, spread, worst and interval of the figures over seeds, as a table."""
    from jaxrvae.analysis.validation import seed_spread

    own = [row for row in rows if row["method"] == method and row["seed"] != "worst"]
    names = [name for name in own[0] if name.startswith(("ARI", "recall", "k-NN"))]
    values = {name: [float(row[name] or 0) for row in own] for name in names}
    return table(seed_spread(values).to_dict("records"))


if __name__ == "__main__":
    sys.exit(main())
