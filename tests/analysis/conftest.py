import numpy as np
import pandas as pd
import pytest

from jaxrvae.data.containers import Latents


@pytest.fixture
def latents():
    return make


def make(content, angle, cls, num_classes=3, symmetry=1):
    number = len(content)
    return Latents(
        content=content.astype(np.float32),
        content_std=np.full(content.shape, 0.1, np.float32),
        angle=np.asarray(angle, np.float32),
        angle_std=np.full(number, 0.05, np.float32),
        angle_modes=np.stack([angle, np.ones(number)], -1)[:, None],
        shift=np.zeros((number, 2), np.float32),
        shift_std=np.zeros((number, 2), np.float32),
        scale=np.ones(number, np.float32),
        class_probabilities=np.eye(num_classes)[cls],
        symmetry=np.full(number, symmetry),
        table=pd.DataFrame(index=range(number)),
    )
