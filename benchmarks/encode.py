"""Encoding: images/s with the whole posterior, and of windows around a frame's pixels.

    python -m benchmarks.encode                    # ten minutes
    python -m benchmarks.encode --trace FOLDER     # and a profile for each model

Glyphs of 48 x 48; models trained for one epoch, as the time does not depend on what
they have learned. `encode` gives content, all modes of the angle, shift, their errors,
symmetry, and poses free of the decoder's own turns. `windows` are those of 32 x 32 of a
frame, at every fourth pixel: a rate, that a frame of 512 x 512 has 231,361 of. Asked:
100,000 images/s, and 512 x 512 in 20 s.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, facts, table, write

MODELS = (
    ("steerable", ("rotation",), 16_000),
    ("steerable", ("rotation", "shift"), 2000),
    ("affine", ("rotation", "shift"), 500),
)
WINDOW, STEP, FRAME = 32, 4, 512
NUM_WINDOWS = (512 - WINDOW + 1) ** 2


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes encode.json and encode.md."""
    parser = argparse.ArgumentParser(description="Speed of encoding.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trace", type=Path, help="folder for the device's profiles")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    import jax

    import jaxrvae as jr
    from jaxrvae.data.containers import Frame
    from jaxrvae.locate.dense import encode_dense

    described = facts() | {"repeats": options.repeats}
    rows = []
    images = jr.simulate("glyphs", seed=0, num_images=2000, size=48).values
    small = jr.simulate("glyphs", seed=0, num_images=2000, size=WINDOW).values
    frame = np.concatenate(
        np.concatenate(small[:256].reshape(16, 16, WINDOW, WINDOW), 1), 1
    )
    whole = Frame(frame)
    assert frame.shape == (FRAME, FRAME)
    for decoder, pose, number in MODELS:
        many = np.resize(images, (number, *images.shape[1:]))
        model = jr.RVAE(decoder=decoder, pose=pose).fit(
            images, epochs=1, progress=False
        )
        rates = timed(lambda: model.encode(many), number, options.repeats)  # noqa: B023
        row: dict[str, Any] = {"decoder": decoder, "pose": " + ".join(pose)}
        row |= {"what": "images", "images/s": statistics.median(rates)}
        rows.append(row | {"least": min(rates), "most": max(rates)})
        if options.trace is not None:
            folder = str(options.trace / f"{decoder}_{'_'.join(pose)}")
            with jax.profiler.trace(folder):
                model.encode(many[:512])
        if decoder == "affine":
            continue
        model = jr.RVAE(decoder=decoder, pose=pose).fit(small, epochs=1, progress=False)
        windows = len(range(0, FRAME - WINDOW + 1, STEP)) ** 2
        rates = timed(
            lambda: encode_dense(model, whole, WINDOW, STEP),  # noqa: B023
            windows,
            options.repeats,
        )
        row |= {"what": "windows", "images/s": statistics.median(rates)}
        row |= {"least": min(rates), "most": max(rates)}
        rows.append(row | {"512 x 512, s": NUM_WINDOWS / statistics.median(rates)})
    text = (__doc__ or "").partition("\n")[2].strip()
    path = write(options.out, "encode", rows, described, text)
    print(table(rows), f"Written: {path}", sep="\n\n")


def timed(function: Any, number: int, repeats: int) -> list[float]:
    """So many a second, each time but the first, which compiles."""
    rates = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        rates.append(number / (time.perf_counter() - start))
    return rates[1:]


if __name__ == "__main__":
    main()
