"""The command line: `jaxrvae demo | run | simulate | fit | encode | pathways ...`."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from jaxrvae._checks import DataError, RunError, one_of
from jaxrvae._version import __version__
from jaxrvae.cli_parts import add_input, add_quiet, add_training, verb
from jaxrvae.cli_sweep import SWEEP_VERBS, is_override, run_named

FAILED, WRONG_USE = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0, or 1 where it failed with one line on standard error that says why. Wrong
        use ends the process with status 2.
    """
    options = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    from jaxrvae._compile import (
        keep_if_wanted,  # with JAX, which help need not wait for
    )

    try:
        if problem := keep_if_wanted():  # slower, and no more
            sys.stderr.write(f"jaxrvae: {problem}\n")
        return int(options.command(options) or 0)
    except (DataError, RunError, ValueError, TypeError, OSError) as error:
        if isinstance(error, ValueError | TypeError) and not _for_users(error):
            raise
        sys.stderr.write(f"jaxrvae: {_one_line(error)}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("jaxrvae: stopped; the same command goes on from here\n")
        return 130


def _joined(words: Sequence[str]) -> list[str]:
    """`sweep status` and its like as one verb."""
    words = list(words)
    two = " ".join(words[:2])
    return [two, *words[2:]] if two in _VERBS else words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxrvae",
        description="From microscopy images to what every atom's surroundings are, how"
        " they lie, and where each kind sits.",
    )
    parser.add_argument("--version", action="version", version=f"jaxrvae {__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, add in _VERBS.items():
        add(verbs, name)
    return parser


def _add_demo(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "simulate a graphene movie with Si dopants and run the whole way on it",
        "jaxrvae demo --out runs/demo",
        _demo,
    )
    parser.add_argument("--out", default="runs/demo", metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    add_quiet(parser)


def _add_run(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "from image files to latents, classes, maps and a report; or an experiment",
        'jaxrvae run "scans/*.dm4" --pixel-size 0.02 --window 1.0 --out runs/mine\n'
        "  jaxrvae run glyphs model.content_dim=3 training.epochs=20 --out runs/glyphs",
        _run,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILES",
        help="images, folders or patterns; or the name of an experiment; then settings"
        " by dotted names, as training.epochs=20",
    )
    parser.add_argument(
        "--config", metavar="YAML", help="settings; options here override them"
    )
    parser.add_argument(
        "--kind",
        choices=["auto", "stem", "pfm"],
        help="find atoms, or domain walls; default: what the files are",
    )
    add_input(parser)
    parser.add_argument(
        "--window", type=float, metavar="NM", help="side of a patch; default 1.0"
    )
    parser.add_argument(
        "--size", type=int, metavar="PX", help="pixels along a patch; default 48"
    )
    add_training(parser)
    parser.add_argument("--out", metavar="DIR", help="default runs/latest")
    add_quiet(parser)


def _add_simulate(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "write a simulated movie (npz) and its atoms or walls as they were (csv)",
        "jaxrvae simulate graphene --set num_frames=4 size=384 --out movie.npz",
        _simulate,
    )
    parser.add_argument(
        "kind", choices=["graphene", "glyphs", "beam", "ferroelectric", "lattice"]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of the simulation, values as in YAML",
    )
    parser.add_argument("--out", required=True, metavar="FILE.npz")


def _add_fit(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "train on patches that are already cut: an array (n, row, col[, channel])",
        "jaxrvae fit patches.npy --epochs 30 --out runs/patches",
        _fit,
    )
    parser.add_argument("file", metavar="PATCHES", help="npy or npz")
    add_training(parser)
    parser.add_argument(
        "--pose",
        nargs="+",
        default=["rotation", "shift"],
        choices=["rotation", "shift"],
    )
    parser.add_argument("--out", required=True, metavar="DIR")
    add_quiet(parser)


def _add_encode(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "latents of other images under a fitted model, as a table",
        "jaxrvae encode runs/mine/model.npz new/*.dm4 --out new.parquet",
        _encode,
    )
    parser.add_argument("model", metavar="MODEL", help="model.npz of a run")
    parser.add_argument("files", nargs="+", metavar="FILES")
    add_input(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="parquet or csv")
    add_quiet(parser)


def _add_report(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "make a finished run's classes, figures and report afresh",
        "jaxrvae report runs/mine --max-classes 5",
        _report,
    )
    parser.add_argument("dir", metavar="DIR", help="what --out was in jaxrvae run")
    parser.add_argument("--classes", type=int, metavar="N", help="so many classes")
    parser.add_argument("--max-classes", type=int, metavar="N", help="at most")
    add_quiet(parser)


def _add_pathways(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "states, transitions and ways between them, of a run or of a table of latents",
        "jaxrvae pathways runs/mine",
        _pathways,
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a run's directory, whose report then shows them; or a csv or parquet with"
        " content_0, content_1 ..., and frame and track if known",
    )
    parser.add_argument("--states", type=int, metavar="N", help="so many states")
    parser.add_argument("--method", choices=["gmm", "dirichlet", "hdbscan"])
    parser.add_argument("--dt", type=float, metavar="S", help="time between frames")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--out", metavar="DIR", help="of a table: where results go")
    add_quiet(parser)


def _add_bench(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "speed and quality as tables; needs a checkout of the project",
        "jaxrvae bench glyphs",
        _bench,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")


_VERBS = {
    "demo": _add_demo,
    "run": _add_run,
    "simulate": _add_simulate,
    "fit": _add_fit,
    "encode": _add_encode,
    "pathways": _add_pathways,
    "report": _add_report,
    **SWEEP_VERBS,
    "bench": _add_bench,
}


def _demo(options: argparse.Namespace) -> None:
    from jaxrvae.pipeline import demo_config, run

    run(demo_config(options.out, options.seed), progress=not options.quiet)


def _run(options: argparse.Namespace) -> None:
    words = [word for word in options.files if is_override(word)]
    options.files = [word for word in options.files if not is_override(word)]
    if run_named(options, words):
        return
    if not options.files and not options.config:
        options.refuse("give FILES, or --config with an input, or an experiment's name")
    from jaxrvae.config import as_run_config
    from jaxrvae.config.dotted import override, parse
    from jaxrvae.pipeline import read_yaml, run

    values = read_yaml(options.config) if options.config else {}
    given = {
        "input": {
            "files": options.files or None,
            "channel": _channel(options.channel),
            "pixel_size": options.pixel_size,
        },
        "patches": {"window": options.window, "size": options.size},
        "model": {"content_dim": options.content_dim, "seed": options.seed},
        "training": {"epochs": options.epochs, "learning_rate": options.learning_rate},
    }
    for group, settings in given.items():
        set_here = {name: v for name, v in settings.items() if v is not None}
        if set_here:
            values[group] = {**(values.get(group) or {}), **set_here}
    for name in ("kind", "out"):
        if getattr(options, name) is not None:
            values[name] = getattr(options, name)
    config = override(as_run_config(values), parse(words)) if words else values
    run(config, progress=not options.quiet)


def _simulate(options: argparse.Namespace) -> None:
    from jaxrvae.commands import write_simulation

    for word in options.set:
        if "=" not in word:
            options.refuse(f"--set: expected NAME=VALUE; got {word!r}")
    write_simulation(options.kind, options.seed, _settings(options.set), options.out)


def _fit(options: argparse.Namespace) -> None:
    from jaxrvae.commands import fit_patches

    model = {
        "content_dim": options.content_dim,
        "seed": options.seed,
        "pose": options.pose,
    }
    fit_patches(
        options.file,
        options.out,
        {name: value for name, value in model.items() if value is not None},
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        progress=not options.quiet,
    )


def _encode(options: argparse.Namespace) -> None:
    from jaxrvae.commands import encode_files

    encode_files(
        options.model,
        options.files,
        options.out,
        channel=_channel(options.channel),
        pixel_size=options.pixel_size,
        progress=not options.quiet,
    )


def _report(options: argparse.Namespace) -> None:
    from jaxrvae.pipeline import refresh

    refresh(
        options.dir,
        num_classes=options.classes,
        max_classes=options.max_classes,
        progress=not options.quiet,
    )


def _pathways(options: argparse.Namespace) -> None:
    from pathlib import Path

    from jaxrvae.commands import write_pathways
    from jaxrvae.config import PathwayConfig
    from jaxrvae.pipeline import refresh

    given = {"num_states": options.states, "method": options.method}
    given |= {"dt": options.dt, "seed": options.seed}
    given = {name: value for name, value in given.items() if value is not None}
    how = PathwayConfig(find=True, **given)
    if not Path(options.source).is_dir():
        if options.out is None:
            options.refuse("a table needs --out, where results go")
        write_pathways(options.source, str(options.out), how)
    elif options.out is not None:
        options.refuse("--out is of a table; a run's results go into its directory")
    else:
        refresh(options.source, pathways=how, progress=not options.quiet)


def _bench(options: argparse.Namespace) -> int:
    import subprocess
    from pathlib import Path

    root = Path(__file__).parents[1]
    scripts = [*(root / "benchmarks").glob("[!_]*.py")]
    scripts += [main.parent for main in (root / "benchmarks").glob("*/__main__.py")]
    here = sorted(script.stem for script in scripts)
    if not here:
        raise RunError(
            f"{root}: expected the folder benchmarks, which a checkout of the project"
            " has; found none. Run it from a checkout."
        )
    for name in options.names:
        one_of("bench", name, here)
    for name in options.names or here:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, cwd=root, check=False)
        if done.returncode:
            raise RunError(f"bench: {name} ended with status {done.returncode}.")
    return 0


def _channel(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


def _settings(words: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as a mapping, the values read as YAML."""
    import yaml

    pairs = [word.partition("=") for word in words]
    return {name: yaml.safe_load(value) for name, _, value in pairs}


def _for_users(error: Exception) -> bool:
    """Whether one of our own checks raised it, rather than a slip in the program."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return str(module).startswith("jaxrvae.")


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}."
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
