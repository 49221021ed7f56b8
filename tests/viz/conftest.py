import numpy as np
import pandas as pd
import pytest

from jaxrvae.data.containers import Frame, Frames, Latents, Patches


@pytest.fixture(scope="session")
def movie():
    """Three frames, the last of another shape and without a pixel size."""
    rng = np.random.default_rng(0)
    shapes, sizes = [(40, 60), (40, 60), (50, 50)], [0.02, 0.02, None]
    frames = [
        Frame(rng.normal(size=shape).astype(np.float32), size, f"frame{i}.tif", i + 5)
        for i, (shape, size) in enumerate(zip(shapes, sizes, strict=True))
    ]
    return Frames(tuple(frames))


@pytest.fixture(scope="session")
def latents():
    """60 patches, 20 a frame, of three classes."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [40, 15, 5])[rng.permutation(60)]
    table = pd.DataFrame(
        {
            "frame": np.repeat([5, 6, 7], 20),
            "x": rng.uniform(5, 35, 60),
            "y": rng.uniform(5, 35, 60),
        }
    )
    ones = np.ones(60, np.float32)
    angle = rng.uniform(-np.pi, np.pi, 60).astype(np.float32)
    return Latents(
        content=rng.normal(size=(60, 2)).astype(np.float32),
        content_std=np.full((60, 2), 0.1, np.float32),
        angle=angle,
        angle_std=0.1 * ones,
        angle_modes=np.stack([angle, ones], 1)[:, None],
        shift=np.zeros((60, 2), np.float32),
        shift_std=np.zeros((60, 2), np.float32),
        scale=ones,
        class_probabilities=np.eye(3, dtype=np.float32)[labels],
        symmetry=np.full(60, 3),
        table=table,
    )


@pytest.fixture(scope="session")
def patches(latents):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(60, 16, 16)).astype(np.float32)
    return Patches(values, latents.table, pixel_size=0.02)


def drawn(figure):
    """Draws it, as a file would, and hands it back."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure


@pytest.fixture(scope="session")
def draw():
    return drawn
