"""Where a sweep's programs run: the one interface is that of `concurrent.futures`."""

import concurrent.futures
import contextlib
import multiprocessing
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxrvae._checks import RunError, one_of, whole

ENGINES = ("here", "processes", "dask", "slurm")
Executor = concurrent.futures.Executor


@contextlib.contextmanager
def engine(
    name: str,
    folder: Path,
    workers: int | None = None,
    address: str | None = None,
    slurm: dict[str, Any] | None = None,
) -> Iterator[Executor]:
    """An executor; on leaving, what has not begun is dropped.

    Args:
        name: "here", this process, one program a device; "processes", so many on this
            machine; "dask", a `distributed` cluster; "slurm", job arrays.
        folder: Where slurm's logs go.
        workers: Processes, of Dask's local cluster as well, or jobs at a time.
        address: Of a Dask scheduler that runs; None: a local cluster is started.
        slurm: Parameters of submitit's executor; `{"cluster": "local"}` runs the jobs
            on this machine.

    Raises:
        RunError: The engine is not installed, or its scheduler does not answer.
    """
    one_of("engine", name, ENGINES)
    if workers is not None:
        whole("workers", workers, 1)
    if name == "here":
        made: Any = _here()
    elif name == "processes":
        made = _Processes(workers or 2)
    elif name == "dask":
        made = _Dask(workers or 2, address)
    else:
        made = _Slurm(folder / "slurm", workers or 8, slurm or {})
    try:
        yield made
    finally:
        made.shutdown(wait=False, cancel_futures=True)


def _here() -> Executor:
    import jax

    devices = jax.local_devices()
    if len(devices) == 1:
        return _Inline()
    return _Devices(devices)


class _Inline(Executor):
    """Runs what it is given at once."""

    in_flight = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        future: Any = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Devices(concurrent.futures.ThreadPoolExecutor):
    """A thread for every local device, which its programs run on."""

    def __init__(self, devices: list[Any]):
        free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for device in devices:
            free.put(device)
        self._free = free
        super().__init__(len(devices))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        import jax

        def on_a_device() -> Any:
            device = self._free.get()
            try:
                with jax.default_device(device):
                    return fn(*args, **kwargs)
            finally:
                self._free.put(device)

        return super().submit(on_a_device)


class _Processes(Executor):
    """A pool of processes, made anew where one of them was killed."""

    def __init__(self, workers: int):
        self.in_flight = workers
        self._pool = self._made()

    def _made(self) -> concurrent.futures.ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
        return concurrent.futures.ProcessPoolExecutor(
            self.in_flight, mp_context=context
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except concurrent.futures.BrokenExecutor:
            self._pool = self._made()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        own = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        for process in own:
            process.terminate()  # a program does not look up before it ends


class _Dask(Executor):
    """A `distributed` cluster: one that runs, or one of this machine."""

    def __init__(self, workers: int, address: str | None):
        try:
            import distributed
            from dask import config
        except ModuleNotFoundError as error:
            raise RunError(
                "engine='dask' needs distributed: pip install 'jaxrvae[cluster]'."
            ) from error
        self._cluster = None
        if address is None:
            # What a killed worker had is tried again by the sweep.
            config.set({"distributed.scheduler.allowed-failures": 0})
            self._cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            )
        try:
            self._client = distributed.Client(
                self._cluster or address, timeout="10s", set_as_default=False
            )
        except OSError as error:
            raise RunError(f"{address}: no Dask scheduler answers there.") from error
        self._executor = self._client.get_executor(retries=0, pure=False)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


class _Slurm(Executor):
    """Job arrays through submitit, as futures.

    What is handed in while no job was waited for goes off as one array.
    """

    def __init__(self, folder: Path, most: int, options: dict[str, Any]):
        try:
            import submitit
        except ModuleNotFoundError as error:
            raise RunError(
                "engine='slurm' needs submitit: pip install 'jaxrvae[cluster]'."
            ) from error
        options = dict(options)
        cluster = options.pop("cluster", "slurm")
        made = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
        if cluster == "slurm":
            options |= {"slurm_array_parallelism": most}
        made.update_parameters(**{"timeout_min": 24 * 60, **options})
        self._made = made
        self._jobs: list[Any] = []
        self._threads = concurrent.futures.ThreadPoolExecutor(most)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        job = self._made.submit(fn, *args, **kwargs)
        self._jobs.append(job)
        return self._threads.submit(job.result)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for job in self._jobs:
                if not job.done():
                    job.cancel(check=False)
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
