"""Damaged and hostile files: each gives frames or a DataError, soon, in little memory.

`JAXRVAE_FUZZ=2000 pytest -rP tests/data/read/test_fuzz.py` is the full run and shows
its counts; 150 is the usual. A process reads the files one after another; one that it
dies of is counted against the readers (SIGALRM: a hang), and the next goes on.
"""

import collections
import io
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest

NUM_FILES = int(os.environ.get("JAXRVAE_FUZZ", "150"))
SECONDS, ADDRESS_SPACE, RESIDENT = 10, 3 * 2**30, 600 * 2**20

WORKER = f"""
import resource, signal, sys
from jaxrvae import DataError
from jaxrvae.data.read import read
import dask.array, h5py, igor2, rsciio.emd, tifffile, zarr
resource.setrlimit(resource.RLIMIT_AS, ({ADDRESS_SPACE}, {ADDRESS_SPACE}))
for path in sys.stdin.read().split():
    signal.alarm({SECONDS})
    try:
        found = "frames" if read(path).values.size else "nothing"
    except DataError as error:
        starved = isinstance(error.__cause__, MemoryError)
        found = "memory" if starved or chr(10) in str(error) else "refused"
    except BaseException as error:
        found = type(error).__name__
    print(path, found, flush=True)
# its own alone: ru_maxrss would count what it was forked from
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("peak", int(status["VmHWM"].split()[0]) * 1024)
"""


def damage(data, rng):
    """The bytes, after one to three accidents that favour the header."""
    for _ in range(rng.integers(1, 4)):
        if len(data) < 16:
            return data
        near = len(data) if rng.random() < 0.3 else min(len(data), 600)
        at = int(rng.integers(near))
        count = int(2 ** rng.integers(0, 6))
        run = data[at : at + count]
        match rng.integers(8):
            case 0:
                data = data[:at] if rng.random() < 0.7 else data[: -count - 1]
            case 1:  # one bit of a byte
                flipped = bytes([data[at] ^ (1 << int(rng.integers(8)))])
                data = data[:at] + flipped + data[at + 1 :]
            case 2:  # other numbers
                data = data[:at] + rng.bytes(len(run)) + data[at + len(run) :]
            case 3:  # the other order of bytes
                width = int(rng.choice([2, 4, 8]))
                at -= at % width
                data = data[:at] + data[at : at + width][::-1] + data[at + width :]
            case 4:  # sizes that are zero
                data = data[:at] + bytes(len(run)) + data[at + len(run) :]
            case 5:  # sizes that are huge, or negative
                data = data[:at] + b"\xff" * min(len(run), 4) + data[at + 4 :]
            case 6:
                data = data[:at] + rng.bytes(count) + data[at:]
            case 7:
                data = data[:at] + data[at + count :]
    return data


def damage_inside(data, rng):
    """A zip file, one of whose members was damaged: its own sums are right."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    chosen = rng.choice(source.namelist())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            member = source.read(name)
            archive.writestr(name, damage(member, rng) if name == chosen else member)
    return target.getvalue()


def read_all(paths):
    """Path to what came of it, and the largest resident size of the processes."""
    found, peak, left = {}, 0, [str(path) for path in paths]
    while left:
        process = subprocess.run(
            [sys.executable, "-c", WORKER], input="\n".join(left), text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        lines = [line.rsplit(" ", 1) for line in process.stdout.splitlines()]
        if lines and lines[-1][0] == "peak":
            peak = max(peak, int(lines.pop()[1]))
        assert lines or process.returncode < 0, process.stderr
        found.update(lines)
        left = left[len(lines) :]
        if left:
            found[left.pop(0)] = signal.Signals(-process.returncode).name
    return found, peak


@pytest.mark.slow
def test_damaged_files_are_refused_or_read(write, tables, tmp_path):
    for library in ("rsciio", "zarr", "igor2", "gwyfile"):
        pytest.importorskip(library)
    names = [*tables[0], *tables[1], "a.blo"]
    whole = {name: write(name).read_bytes() for name in names}
    folder = tmp_path / "damaged"
    folder.mkdir()
    paths = []
    for i in range(NUM_FILES):
        rng = np.random.default_rng(i)
        name = names[i % len(names)]
        inside = whole[name].startswith(b"PK") and rng.random() < 0.7
        data = (damage_inside if inside else damage)(whole[name], rng)
        paths.append(folder / f"{i}_{name}")
        paths[-1].write_bytes(data if i % 97 else b"")
    found, peak = read_all(paths)
    counts = collections.Counter(found.values())
    bad = {k: v for k, v in found.items() if v not in ("frames", "refused")}
    sys.stdout.write(f"{dict(counts)} peak {peak / 2**20:.0f} MB {bad}\n")
    assert not bad
    assert len(found) == NUM_FILES
    assert peak < RESIDENT
