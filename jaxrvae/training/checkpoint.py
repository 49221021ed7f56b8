"""A run's directory: held by one process, resumed bit for bit.

    run/.lock               held while a process works here; names its pid
    run/fingerprint.json    configuration, data and code that the run began with
    run/checkpoints/STEP/   state and metrics; written aside, then renamed

A process killed at any moment leaves the last complete checkpoint restorable.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import RunError
from jaxrvae._version import __version__
from jaxrvae.data.mapped import let_go

State = TypeVar("State")

_BLOCK = 2**24  # bytes of an array hashed at once


class RunDirectory:
    """Checkpoints of one run, in a directory that one process holds at a time.

    Saving copies the state (it may be donated to the next step) and writes it in the
    background; the next save, and leaving the block, wait for that to end. The last
    two checkpoints are kept.

    Args:
        path: The run's directory; made if it is not there.
        fingerprint: What must agree for a resume to mean the same run, such as
            {"config": ..., "data": data_fingerprint(...)}; plain values, nested freely.
            The version of the code is kept beside it.

    Raises:
        RunError: On entering, if another process works in the directory or the
            checkpoints there are of another configuration or other data.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> state = {"weights": jnp.arange(3.0), "key": jax.random.key(0)}
    >>> with RunDirectory(folder.name, {"config": {"seed": 0}}) as run:
    ...     run.save(5, state, [{"epoch": 1, "loss": 0.25}])
    >>> with RunDirectory(folder.name, {"config": {"seed": 0}}) as run:
    ...     step, state, metrics = run.restore(state)
    >>> step, state["weights"].tolist(), metrics
    (5, [0.0, 1.0, 2.0], [{'epoch': 1, 'loss': 0.25}])
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path, fingerprint: Mapping[str, Any]):
        self.path = Path(path)
        self._fingerprint = json.loads(json.dumps(dict(fingerprint), default=str))
        self._lock: IO[str] | None = None
        self._manager: Any = None

    def __enter__(self) -> "RunDirectory":
        self._lock = locked(self.path)
        try:
            self._manager = _manager(self.path / "checkpoints")
            self._check_fingerprint()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._manager is not None:
                self._manager.close()
        finally:
            assert self._lock is not None
            self._lock.close()
            self._manager = self._lock = None

    def save(
        self, step: int, state: Any, metrics: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Keep the state after this many steps, and the rows of metrics so far.

        Checkpoints at this step or beyond it are replaced: they were found broken, or
        belong to a line of training that was left.

        Args:
            step: Steps done; >= 0.
            state: A pytree of arrays and typed PRNG keys.
            metrics: One row an epoch: numbers and words by name; kept bit for bit.
        """
        assert self._manager is not None, "save outside the with block"
        import orbax.checkpoint as ocp

        self._manager.wait_until_finished()
        for later in self._steps():
            if later >= step:
                self._manager.delete(later)
        leaves = {name: np.array(leaf) for name, leaf in _leaves(state).items()}
        notes = {
            "metrics": [
                {name: _plain(value) for name, value in row.items()} for row in metrics
            ],
            "sha256": data_fingerprint(*leaves.values()),
        }
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(leaves), notes=ocp.args.JsonSave(notes)
            ),
        )
        assert saved, f"step {step} was not saved"

    def restore(
        self, abstract_state: State
    ) -> tuple[int, State, list[dict[str, Any]]] | None:
        """The newest checkpoint that is whole: step, state and rows of metrics.

        Args:
            abstract_state: A pytree like the one saved: arrays or
                `jax.ShapeDtypeStruct`; the state takes their sharding where they have
                one.

        Returns:
            None if there is no checkpoint yet.

        Raises:
            RunError: If no checkpoint can be read.
        """
        assert self._manager is not None, "restore outside the with block"
        self._manager.wait_until_finished()
        steps = sorted(self._steps(), reverse=True)
        reasons = []
        for step in steps:
            try:
                return step, *self._restore_step(step, abstract_state)
            # Whatever the reader raises means the same here: not a whole checkpoint.
            except Exception as error:
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                reasons.append(f"step {step}: {line[:160]}")
        if steps:
            raise RunError(
                f"{self.path / 'checkpoints'}: none of {len(steps)} checkpoints can be "
                f"read ({'; '.join(reasons)}). Start again in another directory."
            )
        return None

    def _restore_step(
        self, step: int, abstract_state: State
    ) -> tuple[State, list[dict[str, Any]]]:
        import orbax.checkpoint as ocp

        abstract = {
            name: _abstract(leaf) for name, leaf in _leaves(abstract_state).items()
        }
        found = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), notes=ocp.args.JsonRestore()
            ),
        )
        leaves = found["state"]
        if data_fingerprint(*leaves.values()) != found["notes"]["sha256"]:
            raise ValueError("its bytes differ from those that were saved")
        targets, structure = jax.tree.flatten(abstract_state)
        restored = [
            jax.random.wrap_key_data(leaf, impl=_key_impl(target))
            if _is_key(target)
            else leaf
            for target, leaf in zip(
                targets, (leaves[name] for name in abstract), strict=True
            )
        ]
        return jax.tree.unflatten(structure, restored), found["notes"]["metrics"]

    def _steps(self) -> list[int]:
        return list(self._manager.all_steps())

    def _check_fingerprint(self) -> None:
        """Refuse checkpoints of another run; write the fingerprint of a new one."""
        file = self.path / "fingerprint.json"
        if not self._steps():
            fingerprint = {"code": {"jaxrvae": __version__}, **self._fingerprint}
            write_atomically(file, json.dumps(fingerprint, indent=1) + "\n")
            return
        try:
            known = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{file}: expected the fingerprint of the checkpoints beside it, got "
                f"{type(error).__name__}. Start again in another directory."
            ) from error
        known.pop("code", None)
        difference = _first_difference(known, self._fingerprint)
        if difference:
            raise RunError(
                f"{self.path}: holds checkpoints of another run ({difference}). "
                "Go back to those settings and data, or choose another directory."
            )


def data_fingerprint(*arrays: Any) -> str:
    """SHA-256 over the arrays' dtypes, shapes and bytes, in their order; hex digits.

    Read in blocks of 16 MiB, so that memory-mapped arrays need not fit in memory.

    Raises:
        ValueError: For arrays of Python objects, whose bytes are addresses.

    >>> data_fingerprint(np.zeros(4)) == data_fingerprint(np.zeros((2, 2)))
    False
    """
    digest = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        if array.dtype.hasobject:
            raise ValueError(
                f"expected an array of numbers; got dtype {array.dtype}. Convert it."
            )
        digest.update(f"{array.dtype}{array.dtype.str}{array.shape}".encode())
        for block in _blocks(array):
            digest.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_atomically(file: str | Path, text: str) -> None:
    """Write the text aside and move it into place: all of it is there, or nothing."""
    file = Path(file)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    with aside.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(file)


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    if array.ndim == 0 or array.nbytes <= _BLOCK:
        yield array
    else:
        rows = max(1, _BLOCK * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            yield array[start : start + rows]
            let_go(array)


def locked(path: Path) -> IO[str]:
    """The directory's lock file, held until it is closed or the process ends."""
    import fcntl

    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("a+")
    except OSError as error:
        raise RunError(
            f"{path}: expected a directory to write in, got '{error.strerror}'. "
            "Choose another directory."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        if isinstance(error, BlockingIOError):
            raise RunError(
                f"{path}: in use by another process (pid {holder}). "
                "Wait for it to end, stop it, or choose another directory."
            ) from None
        raise RunError(
            f"{path}: cannot be locked ('{error.strerror}'). Choose a directory on a "
            "disk that supports file locks."
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _manager(folder: Path) -> Any:
    """Orbax's manager of the folder, cleared of what a killed save left behind."""
    import orbax.checkpoint as ocp

    for left in folder.glob("*"):
        if not left.name.isdigit():  # whole checkpoints are named by their step alone
            shutil.rmtree(left, ignore_errors=True)
    alone: dict[str, Any] = {}
    if jax.process_count() > 1:  # this process writes; the others are not waited for
        own = jax.process_index()
        how = ocp.options.MultiprocessingOptions(
            primary_host=own,
            active_processes={own},
            barrier_sync_key_prefix=f"process{own}",
        )
        alone = {"create": False, "multiprocessing_options": how}
        folder.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(max_to_keep=2, **alone)
    return ocp.CheckpointManager(folder.absolute(), options=options)


def _leaves(state: Any) -> dict[str, Any]:
    """The arrays of a pytree by path, so that its classes need not be stored."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path): jax.eval_shape(jax.random.key_data, leaf)
        if _is_key(leaf) and isinstance(leaf, jax.ShapeDtypeStruct)
        else jax.random.key_data(leaf)
        if _is_key(leaf)
        else leaf
        for path, leaf in leaves
    }


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_impl(leaf: Any) -> Any:
    return jax.random.key_impl(jnp.empty((), leaf.dtype))


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _plain(value: Any) -> Any:
    """A NumPy or JAX scalar as the Python number of the same value."""
    return value.item() if hasattr(value, "item") else value


def _first_difference(known: Any, new: Any, key: str = "") -> str:
    """'key: there and here' at the first place where two JSON values differ."""
    if isinstance(known, dict) and isinstance(new, dict):
        for name in [*known, *(name for name in new if name not in known)]:
            difference = _first_difference(
                known.get(name), new.get(name), f"{key}.{name}" if key else str(name)
            )
            if difference:
                return difference
        return ""
    there, here = json.dumps(known), json.dumps(new)
    return "" if there == here else f"{key}: {there[:80]} there, {here[:80]} now"
