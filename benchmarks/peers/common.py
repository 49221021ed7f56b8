"""What both runners share: options, timing, and the peers' pose in our convention."""

import argparse
import json
import os
import resource
import statistics
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np


def arguments(description: str, batch_size: int, learning_rate: float):
    """The runner's options; the two given are the peer's own defaults."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("images", help=".npy, (n, row, col), intensities in [0, 1]")
    add("--pose", default="rt", choices=("r", "rt"), help="r: rotation, t: shift")
    add("--content-dim", type=int, default=2)
    add("--batch-size", type=int, default=batch_size)
    add("--learning-rate", type=float, default=learning_rate)
    add("--epochs", type=int, default=3, help="timed epochs")
    add("--warm-up", type=int, default=1, help="epochs before them, not timed")
    add("--per-epoch", type=int, help="images drawn for an epoch; all by default")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--latents", help=".npz: content (n, d), angle (n,) rad, shift (n, 2) px")
    add("--held-out", help=".npy, encoded but not trained on: held_out_content, ...")
    return parser


def stub_torchvision() -> None:
    """Stands in for torchvision, whose names the peers import and do not use here."""
    module = types.ModuleType("torchvision")
    names = {"utils": ("make_grid",), "models": ("mobilenet_v2", "resnet50", "vgg16")}
    for part, functions in names.items():
        inner = types.ModuleType(f"torchvision.{part}")
        for name in functions:
            setattr(inner, name, None)
        setattr(module, part, inner)
        sys.modules[f"torchvision.{part}"] = inner
    sys.modules["torchvision"] = module


def loader(images: Any, options: argparse.Namespace):
    """Batches of images in a new order every epoch, `per_epoch` of them if given."""
    from torch.utils.data import DataLoader, RandomSampler, TensorDataset

    dataset = TensorDataset(images)
    sampler = RandomSampler(dataset, num_samples=options.per_epoch)
    return DataLoader(dataset, options.batch_size, sampler=sampler, drop_last=True)


def timed(step: Callable[[], Any], times: list[float]) -> Callable[[], Any]:
    """The step, which also appends the seconds it took."""

    def timed_step():
        start = time.perf_counter()
        result = step()
        times.append(time.perf_counter() - start)
        return result

    return timed_step


def latents(means: np.ndarray, pose: str, shape: tuple[int, int], prior: float = 0.1):
    """A peer's posterior means as content, angle and shift in the project's convention.

    The peers' grid has u = -1 ... 1 down the rows and v = 1 ... -1 along the columns; a
    point p there shows what the canonical image has at R(angle) p + prior * shift. As v
    points to the left, their angle is counter-clockwise as displayed, like ours; their
    shift is in the canonical frame and must be turned back.

    Args:
        means: (n, 1 [+ 2] + d): angle, shift if pose has a "t", content.
        pose: "r" or "rt".
        shape: Rows and columns.
        prior: The factor of the shift.

    Returns:
        content (n, d); angle (n,) radians in [-pi, pi); shift (n, 2) pixels (dx, dy),
        y downwards, if pose has a "t".
    """
    angle, rest = means[:, 0], means[:, 1:]
    found = {"angle": np.mod(angle + np.pi, 2 * np.pi) - np.pi}
    if "t" in pose:
        u, v = prior * rest[:, :2].T
        rest = rest[:, 2:]
        cos, sin = np.cos(angle), np.sin(angle)
        down, left = -(cos * u + sin * v), -(cos * v - sin * u)
        half = (np.array(shape) - 1) / 2  # pixels from the centre to the grid's 1
        found["shift"] = np.stack([-left * half[1], down * half[0]], -1)
    return {"content": rest, **found}


def write_latents(
    encode: Callable[[Any], np.ndarray], images: Any, options: argparse.Namespace
) -> None:
    """Writes the latents of the images, and of those held out, where asked to."""
    import torch

    if not options.latents:
        return
    shape = tuple(images.shape[1:])
    found = latents(encode(images), options.pose, shape)
    if options.held_out:
        others = torch.from_numpy(np.load(options.held_out).astype(np.float32))
        held_out = latents(encode(others), options.pose, shape)
        found |= {f"held_out_{name}": values for name, values in held_out.items()}
    np.savez(options.latents, **found)


def report(
    program: str, options: argparse.Namespace, seconds: list[float], losses: list[float]
) -> None:
    """Prints one line of JSON: the median images/s of the timed epochs, and details."""
    import torch

    images = options.per_epoch or len(np.load(options.images, mmap_mode="r"))
    images -= images % options.batch_size  # an incomplete batch is left out
    timed_seconds = seconds[options.warm_up :]
    rates = [images / duration for duration in timed_seconds]
    result = {
        "images_per_second": statistics.median(rates),
        "rates": rates,
        "seconds": timed_seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "threads": torch.get_num_threads(),
        "losses": losses,
        "program": f"{program} with torch {torch.__version__}",
        "malloc": {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")},
    }
    print(json.dumps(result))
