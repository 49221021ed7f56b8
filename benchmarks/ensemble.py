"""An ensemble against one member: an epoch, and a whole `fit`, in one program.

    python -m benchmarks.ensemble

Glyphs of 24 x 24, in turns of one member and of all, so that the machine's mood meets
both; a fit counts from the call to the return, compilation too, an epoch without the
first; what is asked is held against the epoch. About ten minutes on two quiet cores.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import RESULTS, facts, table, write

DECODERS = ("steerable", "affine")
TURNS = 2


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes ensemble.json and ensemble.md."""
    parser = argparse.ArgumentParser(description="Time of an ensemble.")
    add = parser.add_argument
    add("--seeds", type=int, default=8)
    add("--num-images", type=int, default=2000)
    add("--epochs", type=int, default=40)
    add("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    import jax

    import jaxrvae as jr

    images = jr.simulate("glyphs", seed=0, num_images=options.num_images, size=24)
    rows = []
    for decoder in DECODERS:
        epochs: dict[int, list[float]] = {1: [], options.seeds: []}
        fits: dict[int, list[float]] = {1: [], options.seeds: []}
        for seeds in list(epochs) * TURNS:
            model = jr.RVAE(decoder=decoder)
            start = time.perf_counter()
            model.fit(images, epochs=options.epochs, seeds=seeds, progress=False)
            fits[seeds].append(time.perf_counter() - start)
            epochs[seeds] += model.history["seconds"].to_list()[1:]
        one, all_ = (statistics.median(found) for found in epochs.values())
        one_fit, all_fit = (statistics.median(found) for found in fits.values())
        rows.append(
            {
                "decoder": decoder,
                "members": options.seeds,
                "one, s an epoch": one,
                "all, s an epoch": all_,
                "all / one": all_ / one,
                "asked": f"<= {options.seeds}",
                "kept": all_ <= options.seeds * one,
                "one, s a fit": one_fit,
                "all, s a fit": all_fit,
                "all / one, a fit": all_fit / one_fit,
            }
        )
    device = jax.devices()[0]
    described = facts() | {"device": f"{device.platform} {device.device_kind}"}
    path = write(options.out, "ensemble", rows, described)
    print(table(rows), f"Written: {path}", sep="\n\n")


if __name__ == "__main__":
    main()
