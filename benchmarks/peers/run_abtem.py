"""HAADF images of single columns by abTEM's multislice; one line of JSON.

    .bench/multislice/bin/python -m benchmarks.peers.run_abtem

Run in the environment that `python -m benchmarks.multislice --install` makes. Atoms do
not vibrate and the source is a point; one column a box, one slice of 0.2 nm an atom.
"""

import argparse
import json

BOX = 1.6  # nm
FIELD = 0.5  # nm, scanned about the column
STEP = 0.0125  # nm between probes
COLUMNS = {
    "C": ["C"],
    "Si": ["Si"],
    "S": ["S"],
    "S2": ["S", "S"],
    "V": ["V"],
    "Mo": ["Mo"],
}


def scan(symbols: list[str], voltage: float, convergence: float, inner: float):
    """(row, col) share of the electrons that reach the detector."""
    import abtem
    import ase

    places = [(5 * BOX, 5 * BOX, 1.5 + 3.2 * i) for i in range(len(symbols))]
    depth = 3.2 * len(symbols)
    atoms = ase.Atoms(symbols, places, cell=[10 * BOX, 10 * BOX, depth], pbc=True)
    potential = abtem.Potential(atoms, sampling=0.08, slice_thickness=2.0)
    probe = abtem.Probe(energy=1e3 * voltage, semiangle_cutoff=convergence)
    probe.grid.match(potential)
    low, high = 5 * BOX - 5 * FIELD, 5 * BOX + 5 * FIELD
    grid = abtem.GridScan((low, low), (high, high), sampling=10 * STEP)
    detector = abtem.AnnularDetector(inner=inner, outer=200)
    measured = probe.scan(potential, scan=grid, detectors=detector)
    return measured.compute(progress_bar=False).array


def main() -> None:
    """Scans every column."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voltage", type=float, default=60.0, help="kV")
    parser.add_argument("--convergence", type=float, default=32.0, help="mrad")
    parser.add_argument(
        "--inner", type=float, default=80.0, help="mrad, of the detector"
    )
    options = parser.parse_args()
    import abtem

    images = {
        name: scan(symbols, options.voltage, options.convergence, options.inner)
        for name, symbols in COLUMNS.items()
    }
    print(
        json.dumps(
            {
                "version": abtem.__version__,
                "step": STEP,
                "images": {name: image.tolist() for name, image in images.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
