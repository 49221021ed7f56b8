"""Real atoms against the honeycomb that they make, both finders.

    python -m benchmarks.lattices ../shared/data

Si in graphene: the listed atoms found within 0.05 nm, the share of all found that is on
a site, and the bonds of threefold Si against the listed ones. MoS2: Mo against S2 by
brightness, and columns flagged for a missing S (below 0.7 of the sublattice's median).
Writes lattices.md and lattices.json.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, facts, table, write
from benchmarks.atoms import BOND, PACKAGES, REACH, given

METHODS = ("gaussians", "network")
DIM = 0.7  # of the sublattice's median
ABOUT = (
    "Real images. Si and C: share of the listed atoms found within 0.05 nm. On a site:"
    " share of the atoms found that the fitted honeycomb explains, mean over the images"
    " and least. Bond: mean of threefold Si to C as found over that listed, less one,"
    " of bonds whose atoms were both found within 0.05 nm (their share beside it); all:"
    " with the nearest atom found in place of a missed one. MoS2: median brightness of"
    " Mo over S2's; columns"
    " flagged; sites without an atom."
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description="Real atoms against the honeycomb.")
    parser.add_argument("data", type=Path, help="folder of the real files")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--every", type=int, default=1, help="of the Si1C3 images")
    options = parser.parse_args(argv)
    rows = []
    for method in METHODS:
        library = options.data / "stem_graphene_si" / "library"
        rows.append(silicon_row(library, method, options.every))
        rows += sulfide_rows(options.data / "stem_mos2", method)
    path = write(options.out, "lattices", rows, facts(PACKAGES), ABOUT)
    print(f"{table(rows)}\n\nWritten: {path}")


def silicon_row(library: Path, method: Any, every: int = 1) -> dict[str, Any]:
    """All images of the library."""
    import jaxrvae as jr

    found: dict[str, list[bool]] = {"Si": [], "C": []}
    on_site: list[float] = []
    told_bonds: list[list[float]] = []
    for folder in sorted(path for path in library.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.hdf5"))[:: every if folder.name == "Si1C3" else 1]
        movie = jr.read(files)
        atoms = jr.find_atoms(movie, method=method, spacing=BOND)
        for frame in movie:
            bond = BOND / (frame.pixel_size or np.nan)
            here = atoms[atoms["frame"] == frame.number]
            fit = jr.fit_lattice(pd.DataFrame(here), bond=bond)
            on_site.append(float(fit.lattice["explained"].iloc[0]))
            told = given(folder / frame.name)
            for x, y, element in told:
                gap = np.hypot(here["x"] - x, here["y"] - y).min()
                found[element].append(gap * (frame.pixel_size or np.nan) <= REACH)
            if folder.name == "Si1C3" and len(told) == 4:
                told_bonds += bonds(fit.atoms, told, frame.pixel_size or np.nan)
    pairs = np.array(told_bonds)
    return {
        "data": "Si in graphene",
        "method": method,
        "Si": float(np.mean(found["Si"])),
        "C": float(np.mean(found["C"])),
        "on a site": float(np.mean(on_site)),
        "least": min(on_site),
        "bond": _longer(pairs[pairs[:, 2] <= REACH]),
        "bonds found": float((pairs[:, 2] <= REACH).mean()),
        "bond, all": _longer(pairs),
    }


def bonds(
    atoms: pd.DataFrame, told: list[tuple[float, float, str]], pixel_size: float
) -> list[list[float]]:
    """nm, a row a C: from Si as found and as listed, and the farther atom's error.

    Found are the atoms nearest to the listed ones. An error beyond `REACH` means that
    the atom was missed, which counts as such, and that the next one stood for it.
    """
    xy = atoms[["x", "y"]].to_numpy()
    found = [xy[np.hypot(*(xy - (x, y)).T).argmin()] for x, y, _ in told]
    listed = [np.array([x, y]) for x, y, _ in told]
    off = [np.hypot(*(a - b)) for a, b in zip(found, listed, strict=True)]
    si = next(i for i, (_, _, element) in enumerate(told) if element == "Si")
    return [
        [
            float(np.hypot(*(found[i] - found[si]))) * pixel_size,
            float(np.hypot(*(listed[i] - listed[si]))) * pixel_size,
            float(max(off[i], off[si])) * pixel_size,
        ]
        for i, (_, _, element) in enumerate(told)
        if element == "C"
    ]


def _longer(pairs: np.ndarray) -> float:
    """By what share found bonds are longer than listed ones, in the mean."""
    return float(pairs[:, 0].mean() / pairs[:, 1].mean() - 1)


def sulfide_rows(folder: Path, method: Any) -> list[dict[str, Any]]:
    """A row an image."""
    import jaxrvae as jr

    rows = []
    for file in sorted(folder.glob("*.npy")):
        fit = jr.fit_lattice(jr.find_atoms(jr.read(file), method=method))
        atoms = fit.atoms
        level = atoms.groupby("sublattice")["intensity"].median()
        sulfur = atoms[atoms["sublattice"] == 0]
        rows.append(
            {
                "data": f"MoS2 {file.stem[-5:]}",
                "method": method,
                "on a site": float(fit.lattice["explained"].iloc[0]),
                "Mo / S2": float(level[1] / level[0]),
                "flagged": int((sulfur["relative"] < DIM).sum()),
                "empty": len(fit.vacancies),
            }
        )
    return rows


if __name__ == "__main__":
    main()
