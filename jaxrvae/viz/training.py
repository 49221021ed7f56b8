"""How training went."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_history(history: pd.DataFrame) -> "Figure":
    """Loss, the content's divergence from its prior, and the learned noise by epoch."""
    panels = [
        ("loss", "loss (nats a patch)"),
        ("kl_content", "KL of the content (nats)"),
        ("noise", "learned noise (image units)"),
    ]
    panels = [(name, label) for name, label in panels if name in history]
    with style.styled():
        figure, axes = style.new_figure(3.3 * len(panels), 2.6, 1, len(panels))
        for axis, (name, label) in zip(axes[0], panels, strict=True):
            axis.plot(history["epoch"], history[name], color="#0072B2", lw=1.6)
            axis.set_xlabel("epoch")
            axis.set_title(label)
            if name == "loss" and len(history) > 4:
                losses = history[name].to_numpy(float)
                low, high = losses.min(), np.quantile(losses, 0.9)
                axis.set_ylim(low - 0.08 * (high - low), high + 0.15 * (high - low))
        return figure
