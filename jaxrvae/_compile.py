"""Compiling for programs that run a single time, and keeping what was compiled."""

import functools
import os
from pathlib import Path

import jax

from jaxrvae._checks import RunError

# Of a program that runs once, in milliseconds, the compiling is the work.
compile_lightly = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0}
)
CACHE = "JAXRVAE_CACHE"  # the folder's name in the environment; empty for none


def keep_compiled(folder: str | Path | None = None) -> Path:
    """Keep compiled programs in a folder, for this process and those to come.

    The same model on images of the same size then starts without compiling. Call it
    before anything else is compiled. The command line does so by itself; the variable
    JAXRVAE_CACHE names another folder, or, set to nothing, none. Old programs are
    never deleted: delete the folder, when no process works.

    Args:
        folder: None: JAXRVAE_CACHE, or `jaxrvae` in the user's cache.

    Returns:
        The folder.

    Raises:
        RunError: It cannot be written to. Nothing is kept then; all else works.
    """
    if folder is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = os.environ.get(CACHE) or Path(home) / "jaxrvae"
    folder = Path(folder).absolute()
    trial = folder / f".{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise RunError(
            f"{folder}: compiled programs cannot be kept there ({error.strerror}). Name"
            f" another folder, or set {CACHE} to nothing."
        ) from error
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def keep_if_wanted() -> str:
    """As `keep_compiled` does, unless the environment says otherwise; what fails."""
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") or not os.environ.get(CACHE, "-"):
        return ""
    try:
        keep_compiled()
    except RunError as error:
        return str(error)
    return ""
