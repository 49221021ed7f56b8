"""The whole way from images to a report, as settings."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jaxrvae._checks import known_keys, one_of, positive, whole
from jaxrvae.config.mapping import read_yaml, to_mapping
from jaxrvae.config.model import ModelConfig
from jaxrvae.config.training import TrainingConfig

MOVIES = ("graphene", "beam", "lattice", "ferroelectric")  # that can be simulated


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Where the movie comes from: files, or a simulation."""

    files: str | Sequence[str] = ()  # or folders, patterns, as jr.read takes them
    simulate: str | None = None  # one of MOVIES; then no files
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    channel: int | str | None = None
    pixel_size: float | None = None  # nm, instead of what the files say
    seed: int = 0  # of the simulation
    lazy: bool | None = None  # frames stay on disk; None: those of over 1 GB do

    def __post_init__(self) -> None:
        files = (self.files,) if isinstance(self.files, str) else self.files
        object.__setattr__(self, "files", tuple(str(path) for path in files))
        one_of("simulate", self.simulate, (None, *MOVIES))
        one_of("lazy", self.lazy, (None, True, False))
        if bool(self.files) == (self.simulate is not None):
            raise ValueError(
                "input needs either files or simulate='graphene' (or another); got "
                f"{'both' if self.files else 'neither'}. Leave one of them."
            )
        if self.pixel_size is not None:
            positive("pixel_size", self.pixel_size, "It is in nm per pixel.")
        object.__setattr__(self, "options", dict(self.options))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocateConfig:
    """How atoms are found. `jr.find_atoms` documents every field."""

    method: Literal["gaussians", "network"] = "gaussians"
    spacing: float | None = None  # nm; None: from the images
    false_share: float = 0.01

    def __post_init__(self) -> None:
        one_of("method", self.method, ("gaussians", "network"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How atoms are linked from frame to frame. `jr.link` documents the fields.

    The default of `features` keeps an atom that is several times brighter than the
    others apart from them: it may hop onto a neighbour's site and is still the same.
    """

    max_step: float | None = None  # pixels; None: they are not linked
    gap: int = 2  # frames
    features: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"brightness": 3.0}  # in median atoms of the frame
    )

    def __post_init__(self) -> None:
        if self.max_step is not None:
            positive("max_step", self.max_step, "It is in pixels.")
        whole("gap", self.gap, 0)
        object.__setattr__(self, "features", dict(self.features))


@dataclasses.dataclass(frozen=True, kw_only=True)
class WallConfig:
    """Where windows lie on PFM frames. `jr.find_walls` documents the last fields."""

    windows: Literal["walls", "grid"] = "walls"  # along the walls, or everywhere
    step: float = 8.0  # pixels, of the grid; 1: a window around every pixel
    spacing: float | None = None  # pixels along a wall; None: from the images
    min_size: float | None = None  # nm; None: from the images
    amplitude: str | None = None
    phase: str | None = None
    offset: float | None = None  # radians, of positive polarity; None: found
    max_drift: float | None = None  # pixels a frame; None: frames are not aligned

    def __post_init__(self) -> None:
        one_of("windows", self.windows, ("walls", "grid"))
        positive("step", self.step, "It is in pixels.")
        if self.max_drift is not None:
            positive("max_drift", self.max_drift, "It is in pixels a frame.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """What is cut around every atom."""

    size: int | str = "auto"  # pixels; auto: 48, or those of the window
    window: float | str | None = "auto"  # nm; None: the frames' own pixels
    normalize: Literal["frame", "patch"] | None = "frame"

    def __post_init__(self) -> None:
        if self.size != "auto":
            whole("size", self.size, 8, "Or 'auto'.")
        if isinstance(self.window, str):
            one_of("window", self.window, ("auto",), "Or nm.")
        elif self.window is not None:
            positive("window", self.window, "It is in nm.")
        elif self.size == "auto":
            raise ValueError("window=None needs the size in pixels; got size='auto'.")
        one_of("normalize", self.normalize, ("frame", "patch", None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassConfig:
    """How patches are sorted. `jr.find_classes` documents the fields below the first.

    `brightness`: sort by the central atom's brightness before the content, so that a
    rare heavy element is not lost among the many surroundings of a common one.
    """

    brightness: bool = True
    num_classes: int | Literal["auto"] = "auto"
    max_classes: int = 20
    overlap: float = 0.1
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class PathwayConfig:
    """Whether states and ways between them are sought, and how.

    `jr.find_pathways` documents the fields below the first.
    """

    find: bool = False  # half a minute more
    num_states: int | Literal["auto"] = "auto"
    method: Literal["gmm", "dirichlet", "hdbscan"] = "gmm"
    dt: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("method", self.method, ("gmm", "dirichlet", "hdbscan"))
        positive("dt", self.dt, "It is the time from frame to frame.")


CENTRED = ModelConfig(pose=("rotation",), num_turns=12)  # patches that atoms centre


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The whole way from images to a report.

    `kind`: "stem" finds atoms, "pfm" domain walls; "auto": pfm where the frames have an
    amplitude and a phase.
    """

    input: InputConfig
    kind: Literal["auto", "stem", "pfm"] = "auto"
    locate: LocateConfig = dataclasses.field(default_factory=LocateConfig)
    track: TrackConfig = dataclasses.field(default_factory=TrackConfig)
    walls: WallConfig = dataclasses.field(default_factory=WallConfig)
    patches: PatchConfig = dataclasses.field(default_factory=PatchConfig)
    model: ModelConfig = CENTRED
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    classes: ClassConfig = dataclasses.field(default_factory=ClassConfig)
    pathways: PathwayConfig = dataclasses.field(default_factory=PathwayConfig)
    out: str = "runs/latest"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("auto", "stem", "pfm"))


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """A run's settings from nested mappings; what is left out keeps its default.

    >>> run_config({"input": {"files": "a.tif"}, "model": {"seed": 3}}).model.seed
    3
    """
    blank = RunConfig(input=InputConfig(simulate="graphene"))
    base = {
        field.name: getattr(blank, field.name)
        for field in dataclasses.fields(blank)
        if field.name != "input"
    }
    known_keys("run", values, ["input", *base])
    if "input" not in values:
        raise ValueError("run needs input: {files: [...]} or {simulate: graphene}.")
    if not isinstance(values["input"], Mapping):
        raise ValueError(f"input must hold files or simulate; got {values['input']!r}.")
    known_keys(
        "input", values["input"], [f.name for f in dataclasses.fields(InputConfig)]
    )
    groups: dict[str, Any] = {"input": InputConfig(**values["input"])}
    for name, default in base.items():
        given = values.get(name)
        if name in ("kind", "out") or given is None:
            groups[name] = default if given is None else str(given)
            continue
        names = [field.name for field in dataclasses.fields(default)]
        if not isinstance(given, Mapping):
            raise ValueError(
                f"{name} must hold settings such as {names[0]}; got {given!r}."
            )
        known_keys(name, given, names)
        groups[name] = dataclasses.replace(default, **given)
    return RunConfig(**groups)


def run_mapping(config: RunConfig) -> dict[str, Any]:
    """The settings as nested plain values; `run_config` takes them back."""
    return {
        field.name: value if isinstance(value, str) else to_mapping(value)
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) is not None
    }


def as_run_config(config: RunConfig | Mapping[str, Any] | str | Path) -> RunConfig:
    """A run's settings from any of the forms that `run` takes."""
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return run_config(config)
    return run_config(read_yaml(config))
