"""A build may be interrupted, killed or run out of disk at any moment: the old or the new release exists in full."""

import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
from support import run_on_full_disk

from cot_distill_datasets.cli import main
from cot_distill_datasets.files import locked
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.folder import read_release


KILLS = 20
# The process builds again and again, so a kill falls on any moment of a build and of the swap at its end.
BUILDS = (
    "import sys; from pathlib import Path; from cot_distill_datasets.sources import arith\n"
    "from cot_distill_datasets.release.build import build\n"
    "arith.TRAIN_SIZE = 20\nprint('ready', flush=True)\nwhile True: build(Path(sys.argv[1]))"
)
READER = (
    "import sys; from pathlib import Path; from cot_distill_datasets.release.folder import read_release\n"
    "print('reading', flush=True); print(read_release(Path(sys.argv[1])).version)"
)


@pytest.fixture
def out(tmp_path: Path, few_problems: None) -> Path:
    """A small release, alone in its folder."""
    build(tmp_path / "release")
    return tmp_path / "release"


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_full_disk_leaves_the_old_release_unchanged(out: Path) -> None:
    before = _files(out.parent)
    ended = run_on_full_disk("-m", "cot_distill_datasets.cli", "build", "--out", str(out), limit=10_000)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert str(out) in ended.stderr.splitlines()[-1] and "Traceback" not in ended.stderr
    assert _files(out.parent) == before


@pytest.mark.slow
def test_ctrl_c_ends_a_build_with_130_and_leaves_the_old_release_unchanged(out: Path) -> None:
    """Python prints and ignores a Ctrl-C that falls into a destructor (pyarrow's writer has one): it is sent again."""
    before = _files(out)
    code = (  # a long build, and Ctrl-C even if a shell has put the tests into the background, where it is ignored
        "import signal, sys; from cot_distill_datasets.cli import main\n"
        "from cot_distill_datasets.sources import arith\n"
        "arith.TRAIN_SIZE = 8_000; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(main(['build', '--out', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", code, str(out)]
    with (
        (out.parent / "errors.txt").open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process,
    ):
        while not (out.parent / ".release.new").exists():
            assert process.poll() is None
            time.sleep(0.02)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                continue
    error = (out.parent / "errors.txt").read_text()
    assert process.returncode == 130
    assert "interrupted" in error.splitlines()[-1]
    assert error.count("Traceback") == error.count("Exception ignored")
    assert _files(out) == before
    assert not (out.parent / ".release.new").exists()


def test_a_build_into_a_folder_that_another_process_writes_is_rejected(out: Path) -> None:
    before = _files(out)
    command = [sys.executable, "-m", "cot_distill_datasets.cli", "build", "--out", str(out)]
    with locked(out):
        ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert str(out) in ended.stderr
    assert _files(out) == before
    assert main(["build", "--out", str(out)]) == 0


def test_a_reader_waits_for_a_swap_in_progress(out: Path) -> None:
    """Between its two renames a build has only the old release, under a hidden name: a reader must not restore it."""
    old = out.rename(out.parent / ".release.old")
    command = [sys.executable, "-c", READER, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        with locked(out):
            assert process.stdout.readline() == "reading\n"
            time.sleep(0.5)
            assert old.is_dir() and process.poll() is None
        version = process.stdout.read().strip()
    release = read_release(out)
    assert release is not None and (process.returncode, version) == (0, release.version)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_complete_release_and_no_lock(out: Path) -> None:
    moments = random.Random(3)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDS, str(out)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout
        with process, process.stdout:
            process.stdout.readline()
            time.sleep(moments.uniform(0.0, 1.0))
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        release = read_release(out)
        assert release is not None
        for stats in release.configs:
            assert sha256((out / stats.file).read_bytes()).hexdigest()[:16] in stats.file
    build(out)
    assert sorted(os.listdir(out.parent)) == [".release.lock", "release"]


def test_a_kill_between_the_two_renames_is_undone(out: Path) -> None:
    before = read_release(out)
    out.rename(out.parent / ".release.old")
    assert read_release(out) == before is not None
    assert sorted(os.listdir(out.parent)) == [".release.lock", "release"]
