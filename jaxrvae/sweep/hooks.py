"""What is told of every finished point beside the sweep's own files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrvae._checks import RunError

Hook = Callable[[dict[str, Any]], None]


def to_tensorboard(folder: str | Path) -> Hook:
    """Losses by epoch and figures of every point, for TensorBoard.

    Raises:
        RunError: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        raise RunError(
            "TensorBoard's files need: pip install 'jaxrvae[tensorboard]'."
        ) from error

    def hook(row: dict[str, Any]) -> None:
        with SummaryWriter(str(Path(folder) / row["id"])) as writer:
            for epoch in row["history"]:
                for name, value in epoch.items():
                    if name not in ("epoch", "step"):
                        writer.add_scalar(name, value, int(epoch["step"]))
            for name, value in row["metric"].items():
                writer.add_scalar(f"figures/{name.replace(',', '')}", value)
            writer.add_text("settings", _lines(row["config"]))

    return hook


def to_mlflow(experiment: str, client: Any = None) -> Hook:
    """Every point as a run of an MLflow experiment.

    Args:
        client: `mlflow`, or what has its `set_experiment`, `start_run`, `log_params`
            and `log_metrics`; None: the module, which must be installed.
    """
    if client is None:
        try:
            import mlflow as client  # type: ignore[no-redef, import-not-found]
        except ModuleNotFoundError as error:
            raise RunError("MLflow's runs need: pip install mlflow.") from error
    client.set_experiment(experiment)

    def hook(row: dict[str, Any]) -> None:
        with client.start_run(run_name=row["id"]):
            client.log_params(row["config"])
            client.log_metrics({_word(k): v for k, v in row["metric"].items()})
            for epoch in row["history"]:
                client.log_metrics({"loss": epoch["loss"]}, step=int(epoch["step"]))

    return hook


def _lines(settings: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in settings.items())


def _word(name: str) -> str:
    """Without the commas that MLflow refuses."""
    return name.replace(",", "")
