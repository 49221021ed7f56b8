"""An ensemble against one member: seconds an epoch, in one program and one by one.

    python -m benchmarks.ensemble

Glyphs of 24 x 24, in turns of one member and of all, so that the machine's mood meets
both; the first epoch is not counted. About three minutes on two quiet cores.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import RESULTS, facts, table, write

DECODERS = ("steerable", "affine")
TURNS = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes ensemble.json and ensemble.md."""
    parser = argparse.ArgumentParser(description="Time of an ensemble.")
    add = parser.add_argument
    add("--seeds", type=int, default=8)
    add("--num-images", type=int, default=2000)
    add("--epochs", type=int, default=6, help="timed, and one before them")
    add("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    import jax

    import jaxrvae as jr

    images = jr.simulate("glyphs", seed=0, num_images=options.num_images, size=24)
    rows = []
    for decoder in DECODERS:
        times: dict[int, list[float]] = {1: [], options.seeds: []}
        for _ in range(TURNS):
            for seeds, found in times.items():
                model = jr.RVAE(decoder=decoder)
                epochs = options.epochs + 1
                model.fit(images, epochs=epochs, seeds=seeds, progress=False)
                found += model.history["seconds"].to_list()[1:]
        one, all_ = (statistics.median(found) for found in times.values())
        rows.append(
            {
                "decoder": decoder,
                "members": options.seeds,
                "one, s an epoch": one,
                "all, s an epoch": all_,
                "all / one": all_ / one,
                "asked": f"<= {options.seeds}",
                "kept": all_ <= options.seeds * one,
            }
        )
    device = jax.devices()[0]
    described = facts() | {"device": f"{device.platform} {device.device_kind}"}
    path = write(options.out, "ensemble", rows, described)
    print(table(rows), f"Written: {path}", sep="\n\n")


if __name__ == "__main__":
    main()
