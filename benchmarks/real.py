"""Real Si defects in graphene: are they told apart by what surrounds the atom?

    python -m benchmarks.real DATA/stem_graphene_si --out benchmarks/results

Atoms are found in every file of the library; the given coordinates say which of them
are Si, and the folder what kind. Plain C: no given Si within 0.3 nm. Every Si and 600
plain C, drawn by the seed, are trained on: windows of 1 nm, brightness and contrast
taken out, content dim 2, rotation alone. k-NN in the content classifies each image by
the others; images that appear twice count as one. About 3 minutes on two cores.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._report import facts, table, write

FOLDERS = ("Si1C3", "Si1C4", "Si2C4", "Si4C6")
SCORED = ("C", "Si1C3", "Si1C4")
REACH, PLAIN = 0.05, 0.3  # nm
NEIGHBORS = 5
NUM_PLAIN = 600
EPOCHS = 600


def main(argv: list[str] | None = None) -> int:
    """Run the seeds asked for; write the table where --out says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder stem_graphene_si")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1")
    parser.add_argument("--out", type=Path, help="folder for the table")
    args = parser.parse_args(argv)
    images, rows = gather(args.data / "library")
    print(rows["kind"].value_counts().to_string(), file=sys.stderr)
    found = []
    for seed in range(args.seeds):
        found.append(one_seed(images, rows, seed))
        print(table(found[-1:]), flush=True)
    lowest = pd.DataFrame(found).drop(columns="seed").min().to_dict()
    found += [{"seed": "worst", **lowest}, {"seed": "asked", "balanced": ">= 0.85"}]
    print(table(found))
    if args.out:
        write(args.out, "real", found, facts(), text=__doc__)
    return 0


def gather(library: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Patches of all folders, and for each its kind and image."""
    import jaxrvae as jr

    values, tables = [], []
    for folder in FOLDERS:
        movie = jr.read(library / folder)
        atoms = jr.find_atoms(movie)
        patches = jr.cut_patches(movie, atoms, size=48, window=1.0, normalize="patch")
        kinds = pd.Series("", index=patches.table.index)
        for frame in movie:
            here = patches.table["frame"] == frame.number
            silicon = given_silicon(library / folder / f"{frame.number}.hdf5")
            places = patches.table.loc[here, ["x", "y"]].to_numpy()
            apart = np.linalg.norm(places[:, None] - silicon[None], axis=-1)
            nearest = apart.min(axis=1) * frame.pixel_size
            names = np.where(
                nearest < REACH, folder, np.where(nearest > PLAIN, "C", "")
            )
            kinds[here] = names
        image = {frame.number: _fingerprint(frame.values) for frame in movie}
        values.append(patches.values)
        tables.append(
            pd.DataFrame({"kind": kinds, "image": patches.table["frame"].map(image)})
        )
    return np.concatenate(values), pd.concat(tables, ignore_index=True)


def given_silicon(file: Path) -> np.ndarray:
    """(n, 2) positions x, y in pixels of the Si atoms that the file lists."""
    import h5py

    with h5py.File(file) as data:
        names = [name for name in data if name.startswith("defect_coord")]
        rows = np.concatenate([np.asarray(data[name]).astype(str) for name in names])
    return rows[rows[:, 2] == "Si", :2].astype(float)


def one_seed(images: np.ndarray, rows: pd.DataFrame, seed: int) -> dict:
    """Balanced accuracy, and the share of every kind that is found."""
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    import jaxrvae as jr

    names = np.array(rows["kind"].tolist())
    plain = np.random.default_rng(seed).permutation(np.flatnonzero(names == "C"))
    kept = np.concatenate([np.flatnonzero(np.isin(names, FOLDERS)), plain[:NUM_PLAIN]])
    model = jr.RVAE(content_dim=2, pose=("rotation",), num_turns=12, seed=seed)
    latents = model.fit(images[kept], epochs=EPOCHS, progress=False).encode(
        images[kept]
    )
    kinds, groups = names[kept], rows["image"].to_numpy(object)[kept]
    guess = cross_val_predict(
        KNeighborsClassifier(NEIGHBORS),
        latents.content,
        kinds,
        groups=groups,
        cv=LeaveOneGroupOut(),
    )
    shares = {
        kind: float((guess[kinds == kind] == kind).mean()) for kind in ("C", *FOLDERS)
    }
    result = {"seed": seed, "balanced": float(np.mean([shares[k] for k in SCORED]))}
    return result | {f"{k} ({(kinds == k).sum()})": v for k, v in shares.items()}


def _fingerprint(image: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
