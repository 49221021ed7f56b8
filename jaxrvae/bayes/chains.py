"""Draws from the posterior of single patches, and whether they can be relied on."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._typing import Float, ndarray
from jaxrvae.bayes.arviz import load_arviz
from jaxrvae.geometry.circle import wrap

GOOD = 1.01  # R-hat


@dataclasses.dataclass(frozen=True, eq=False)
class Chains:
    """Draws from the posterior of single patches.

    Attributes:
        content: (n, chain, draw, d).
        angle: (n, chain, draw) radians, as `encode` reports them.
        shift: (n, chain, draw, 2) pixels.
        mode: (n, chain, draw) number of the nearest of `modes`.
        modes: (n, m) angles where the posterior peaks, at the likeliest content that a
            chain could start from, NaN where there are fewer.
        grid_weights: (n, m) their weights by the exact grid, at that content.
        log_density: (n, chain, draw) nats, but for a constant.
        divergent: (n, chain) number of divergent transitions.
        accepted: (n, chain) share of the proposals.
    """

    content: ndarray
    angle: ndarray
    shift: ndarray
    mode: ndarray
    modes: ndarray
    grid_weights: ndarray
    log_density: ndarray
    divergent: ndarray
    accepted: ndarray

    def __len__(self) -> int:
        return len(self.content)

    @property
    def weights(self) -> Float[ndarray, "n mode"]:
        """Of the modes: the share of the draws in each."""
        number = self.modes.shape[1]
        chosen = self.mode[..., None] == np.arange(number)
        return chosen.mean((1, 2))

    @property
    def within(self) -> Float[ndarray, "n chain draw"]:
        """The angle from the nearest mode: what R-hat is taken of."""
        near = np.take_along_axis(self.modes[:, None], self.mode, 2)
        return np.asarray(wrap(jnp.asarray(self.angle - near)))

    def summary(self) -> pd.DataFrame:
        """A row a patch and site: mean, std, R-hat, effective draws, divergences."""
        from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

        sites = {"angle": self.within}
        for axis, name in enumerate(("shift_x", "shift_y")):
            if self.shift[..., axis].any():
                sites[name] = self.shift[..., axis]
        for i in range(self.content.shape[-1]):
            sites[f"content_{i}"] = self.content[..., i]
        parts = []
        for name, values in sites.items():
            draws = np.moveaxis(values, 0, -1).astype(np.float64)
            part = {
                "patch": np.arange(len(self)),
                "site": name,
                "mean": draws.mean((0, 1)),
                "std": draws.std((0, 1)),
                "r_hat": split_gelman_rubin(draws),
                "effective": effective_sample_size(draws),
                "divergent": self.divergent.sum(1),
            }
            parts.append(pd.DataFrame(part))
        table = pd.concat(parts).sort_values(["patch", "site"], kind="stable")
        table.loc[table["site"] == "angle", "mean"] = self.modes[:, 0]
        return table.reset_index(drop=True)

    def problems(self, most: float = GOOD) -> list[str]:
        """What has not converged, a line each; nothing if all has."""
        table = self.summary()
        shape = self.content.shape[1:3]
        lines = []
        for name, own in table.groupby("site"):
            bad = own[~(own["r_hat"] <= most)]
            if len(bad):
                worst = bad.iloc[int(np.argmax(np.asarray(bad["r_hat"])))]
                lines.append(
                    f"site '{name}', {shape[0]} chains x {shape[1]} draws: R-hat above"
                    f" {most} for {len(bad)} of {len(own)} patches, worst"
                    f" {worst['r_hat']:.3f} at patch {worst['patch']}. Draw more."
                )
        divergent = int((self.divergent.sum(1) > 0).sum())
        if divergent:
            number = int(self.divergent.sum())
            lines.append(
                f"{number} divergent transitions in {divergent} of {len(self)} patches:"
                " their tails are not seen in full."
            )
        return lines

    def to_inference_data(self, patch: int) -> Any:
        """One patch's draws as ArviZ takes them; needs the package arviz."""
        arviz = load_arviz()
        posterior = {
            "content": self.content[patch],
            "angle": self.angle[patch],
            "shift": self.shift[patch],
            "mode": self.mode[patch],
        }
        stats = {"lp": self.log_density[patch]}
        return arviz.from_dict(posterior=posterior, sample_stats=stats)
