"""The commands of experiments: `run NAME`, `rerun`, `sweep`, `sweep status` ..."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from jaxrvae._checks import RunError
from jaxrvae.cli_parts import add_quiet, verb

SETTING = re.compile(r"[a-z_]\w*(\.\w+)*=")


def is_override(word: str) -> bool:
    """Whether it is NAME=VALUE, not a file."""
    return bool(SETTING.match(word)) and not Path(word).exists()


def run_named(options: argparse.Namespace, words: list[str]) -> bool:
    """Runs the experiment that is named instead of files; False if none is."""
    if len(options.files) != 1:
        return False
    name = options.files[0]
    bare = re.fullmatch(r"[a-z_]\w*", name) is not None and not Path(name).exists()
    if not bare and Path(name).suffix not in (".yaml", ".yml"):
        return False
    from jaxrvae.sweep.experiments import load_config
    from jaxrvae.sweep.single import run_experiment

    for other in ("config", "kind", "channel", "pixel_size", "window", "size"):
        if getattr(options, other) is not None:
            options.refuse(f"--{other.replace('_', '-')} is of FILES, not experiments")
    given = {"epochs": "training.epochs", "learning_rate": "training.learning_rate"}
    given |= {"content_dim": "model.content_dim", "seed": "model.seed"}
    for option, setting in given.items():
        if getattr(options, option) is not None:
            words = [*words, f"{setting}={getattr(options, option)}"]
    out = options.out or f"runs/{Path(name).stem}"
    found = run_experiment(
        load_config(name, words), out, Path(name).stem, progress=not options.quiet
    )
    for figure, value in found.items():
        print(f"{figure}: {value:.4g}")
    return True


def _add_rerun(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "run an experiment's or a whole run's directory again and compare the numbers",
        "jaxrvae rerun runs/glyphs",
        _rerun,
    )
    parser.add_argument("dir", metavar="RUN_DIR")
    add_quiet(parser)


def _add_sweep(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "all points of an experiment's sweep; started again, it goes on from there",
        "jaxrvae sweep ablation_posterior training.epochs=20 --out runs/posterior",
        _sweep,
    )
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", help="its name, or a YAML file"
    )
    parser.add_argument(
        "settings", nargs="*", metavar="NAME=VALUE", help="of every point"
    )
    parser.add_argument("--out", metavar="DIR", help="default runs/EXPERIMENT")
    add = parser.add_argument
    add(
        "--engine",
        default="here",
        choices=["here", "processes", "dask", "slurm"],
        help="this process, one program a device; processes; a Dask or Slurm cluster",
    )
    add("--workers", type=int, metavar="N", help="processes, or jobs at a time")
    add("--scheduler", metavar="ADDRESS", help="of Dask; default: a local cluster")
    add("--slurm", nargs="+", default=[], metavar="NAME=VALUE", help="as submitit has")
    add("--retries", type=int, default=1, metavar="N", help="of a point; default 1")
    add("--retry-failed", action="store_true", help="try those set aside once more")
    add(
        "--members", type=int, metavar="N", help="points a program, at most; default 64"
    )
    add("--trials", type=int, metavar="N", help="of search(), by Optuna")
    add("--tensorboard", metavar="DIR", help="write losses and figures there as well")
    add("--plan", action="store_true", help="say what would be done, and end")
    add_quiet(parser)


def _add_status(verbs: Any, name: str) -> None:
    text = "how far a sweep is, and what failed"
    parser = verb(verbs, name, text, "jaxrvae sweep status runs/posterior", _status)
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--watch", action="store_true", help="until it is over")


def _add_report(verbs: Any, name: str) -> None:
    parser = verb(
        verbs,
        name,
        "tables, tests and figures of a sweep; of two, how they differ",
        "jaxrvae sweep report runs/posterior",
        _report,
    )
    parser.add_argument("dir", metavar="DIR")
    parser.add_argument("--against", metavar="DIR", help="another sweep")
    parser.add_argument("--metrics", nargs="+", metavar="NAME")


SWEEP_VERBS = {
    "sweep": _add_sweep,
    "sweep status": _add_status,
    "sweep report": _add_report,
    "rerun": _add_rerun,
}


def _rerun(options: argparse.Namespace) -> int:
    from jaxrvae.sweep.single import rerun, say_rerun

    table = rerun(options.dir, progress=not options.quiet)
    print(table.to_string(float_format="%.6g"))
    return say_rerun(table)


def _sweep(options: argparse.Namespace) -> int:
    from jaxrvae.sweep.experiments import load_search, load_sweep

    name = Path(options.experiment).stem
    out = Path(options.out or f"runs/{name}")
    if options.trials:
        search = load_search(options.experiment, options.settings)
        return _searched(search, out, name, options)
    sweep = load_sweep(options.experiment, options.settings)
    if options.plan:
        return _planned(sweep, options)
    from jaxrvae.sweep.schedule import run_sweep
    from jaxrvae.sweep.store import Store

    if options.retry_failed:
        Store(out).forget_failures()
    table = run_sweep(sweep, out, name=name, **_how(options))
    failed = Store(out).failures()
    print(f"{len(table)} points finished, {len(failed)} failed: {out}/results.parquet")
    for error in failed["error"].head(5):
        sys.stderr.write(f"{error}\n")
    return int(len(failed) > 0)


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """What `run_sweep` takes beside the points."""
    from jaxrvae.config.dotted import parse
    from jaxrvae.sweep.hooks import to_tensorboard
    from jaxrvae.sweep.schedule import MEMBERS

    hooks = [to_tensorboard(options.tensorboard)] if options.tensorboard else []
    how: dict[str, Any] = {"where": options.engine, "workers": options.workers}
    if options.engine == "dask":
        how["address"] = options.scheduler
    if options.engine == "slurm":
        how["slurm"] = parse(options.slurm)
    how |= {"retries": options.retries, "members": options.members or MEMBERS}
    return how | {"hooks": hooks, "progress": not options.quiet}


def _searched(search: Any, out: Path, name: str, options: argparse.Namespace) -> int:
    from jaxrvae.sweep.search import run_search

    table = run_search(search, out, options.trials, name=name, **_how(options))
    column = f"metric.{search.metric}"
    if column not in table:
        raise RunError(f"{out}: no trial has the figure {search.metric!r}.")
    ascending = search.direction == "minimize"
    best = table.sort_values(column, ascending=ascending).head(5)
    names = [f"config.{setting}" for setting in search.space]
    print(best[[*names, "seed", column]].to_string(index=False))
    return 0


def _planned(sweep: Any, options: argparse.Namespace) -> int:
    from jaxrvae.sweep.axes import points_of
    from jaxrvae.sweep.schedule import MEMBERS, packed

    points = points_of(sweep)
    groups = packed(points, options.members or MEMBERS)
    print(f"{len(points)} points, trained by {len(groups)} programs")
    return 0


def _status(options: argparse.Namespace) -> None:
    from jaxrvae.sweep.status import say_status

    say_status(options.dir, options.watch)


def _report(options: argparse.Namespace) -> None:
    from jaxrvae.sweep.report import write_sweep_report
    from jaxrvae.sweep.store import Store

    store = Store(options.dir)
    table, name = store.table(), store.plan()["name"]
    store.collect()  # what was finished when it was killed as well
    if options.against:
        _compared(table, options)
        return
    folder, failures = store.path / "report", store.failures()
    print(write_sweep_report(table, folder, options.metrics, name, failures=failures))


def _compared(table: Any, options: argparse.Namespace) -> None:
    """Writes how the sweep differs from another, beside its report."""
    from jaxrvae.sweep.compare import compare_sweeps, comparison_section
    from jaxrvae.sweep.store import Store
    from jaxrvae.training.checkpoint import write_atomically

    other = Store(options.against)
    found = compare_sweeps(other.table(), table, options.metrics)
    text = comparison_section(found, other.path.name, Path(options.dir).name)
    path = Path(options.dir) / f"against_{other.path.name}.md"
    write_atomically(path, text + "\n")
    print(path)
