"""Studies that lose processes, a checkpoint or a machine end like an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cot_distill_datasets.files import damage


COMMAND = [sys.executable, "-m", "cot_distill_datasets.cli", "study", "run", "small.yaml", "--out", "out"]
START = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
SETTINGS = {"max_steps": 60, "save_steps": 5, "test_questions": 12}
KILLS = 10

StudyFile = Callable[..., Path]


@pytest.fixture(scope="module")
def undisturbed(module_study: StudyFile) -> Path:
    """The folder of a study that nothing disturbed."""
    folder = module_study(**SETTINGS).parent
    assert subprocess.run(COMMAND, cwd=folder, stderr=subprocess.DEVNULL).returncode == 0
    return folder


def _assert_is_like(folder: Path, undisturbed: Path) -> None:
    """Check that two studies have the same outcomes and weights."""
    assert _outcomes(folder).equals(_outcomes(undisturbed))
    assert _weights(folder) == _weights(undisturbed)


def _outcomes(folder: Path) -> pa.Table:
    return pq.read_table(folder / "out/outcomes.parquet")


def _weights(folder: Path) -> dict[str, bytes]:
    cells = folder / "runs/cells"
    return {str(path.relative_to(cells)): path.read_bytes() for path in cells.rglob("*.safetensors")}


class Run:
    """A run of the study in this folder. What it prints is in `output.txt`, its messages are in `errors.txt`."""

    def __init__(self) -> None:
        self.driver: psutil.Popen | None = None
        self.files: set[Path] = set()  # that it has had

    def start(self) -> psutil.Popen:
        with Path("output.txt").open("ab") as output, Path("errors.txt").open("ab") as errors:
            self.driver = psutil.Popen(COMMAND, stdout=output, stderr=errors)
        return self.driver

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Let the study run, again if it ends, until `condition` is true."""
        while not condition() or self.driver.poll():  # a run that failed, or was killed, is started again
            if self.driver.poll() is not None:
                self.start()
            with suppress(FileNotFoundError):  # a folder is deleted meanwhile
                self.files.update(path for folder in ("runs/cells", "out") for path in Path(folder).rglob("*"))
            time.sleep(0.01)

    def wait_for_files(self, count: int) -> None:
        """Let the study write `count` files that it never had."""
        before = len(self.files)
        self.wait_until(lambda: len(self.files) >= before + count)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes that may be killed, by kind."""
        children = {child: _command_line(child) for child in self.driver.children(recursive=True)}
        kinds = {
            "driver": [self.driver],
            "worker": [child for child, line in children.items() if line.startswith(("ray::train", "ray::evaluate"))],
            "training": [child for child, line in children.items() if "sft.py" in line],
        }
        return {kind: processes for kind, processes in kinds.items() if processes}

    def kill(self) -> None:
        """Kill the driver, and the processes that it started on this machine before they notice."""
        with suppress(psutil.NoSuchProcess):  # the driver has ended
            family = [self.driver, *self.driver.children(recursive=True)]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family)


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


@pytest.fixture
def run(study_file: StudyFile) -> Iterator[Run]:
    """A run that a test starts, and that is killed if the test fails."""
    study_file(**SETTINGS)
    run = Run()
    yield run
    if run.driver:
        run.kill()


def _intact_checkpoints(least: int) -> list[Path]:
    """Return the intact checkpoints of a student that has at least `least`, by step."""
    for cell in Path("runs/cells").glob("*/"):
        intact = [folder for folder in cell.glob("checkpoint-*") if _is_intact(folder)]
        if len(intact) >= least:
            return sorted(intact, key=lambda folder: int(folder.name[11:]))
    return []


def _is_intact(checkpoint: Path) -> bool:
    try:
        return damage(checkpoint) is None
    except FileNotFoundError:  # it is deleted meanwhile
        return False


def _damage_checkpoints(run: Run, *, kept: int) -> list[Path]:
    """Let the study write a student's checkpoints, damage all but the first `kept`, and return these."""
    run.wait_until(lambda: bool(_intact_checkpoints(kept + 1)))
    run.kill()
    folders = _intact_checkpoints(kept + 1)[kept:]
    for folder in folders:
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[len(weights) // 2] ^= 255
        (folder / "model.safetensors").write_bytes(weights)
    return folders


@pytest.mark.slow
def test_ten_random_kills_and_damaged_checkpoints_leave_the_outcomes_of_an_undisturbed_run(
    run: Run, undisturbed: Path
) -> None:
    run.start()
    damaged = _damage_checkpoints(run, kept=0) + _damage_checkpoints(run, kept=1)
    assert len(damaged) > 1

    dice = random.Random(16)
    killed = []
    for _ in range(KILLS):
        run.wait_for_files(dice.randint(0, 40))
        time.sleep(dice.random())
        processes = run.processes()
        kind = dice.choice(sorted(processes))
        victim = dice.choice(processes[kind])
        victim.kill()
        victim.wait()
        killed.append(kind)
    run.wait_until(lambda: run.driver.poll() == 0)
    assert Path("output.txt").read_text() == ""
    assert set(killed) == {"driver", "worker", "training"}
    for folder in damaged:
        assert f"Deleting the damaged {folder}" in folder.parent.with_suffix(".log").read_text()
    _assert_is_like(Path(), undisturbed)


@pytest.fixture
def start_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., psutil.Popen]]:
    """Return a function that starts a node with one core in a process group of its own, the first as a cluster's head.

    The cluster has a token. Its folder is not `tmp_path`: the path of a socket has at most 107 bytes.
    """
    nodes = []
    with TemporaryDirectory(prefix="ray-") as folder:
        Path(folder, "token").write_text("0123456789abcdef" * 2)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", f"{folder}/token")
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

        def start() -> psutil.Popen:
            place = f"{folder}/{len(nodes)}"
            options = [f"--address={os.environ['RAY_ADDRESS']}"] if nodes else ["--head", "--port=0"]
            with open(f"{place}.log", "wb") as log:
                command = [*START, *options, f"--temp-dir={place}"]
                nodes.append(psutil.Popen(command, process_group=0, stdout=log, stderr=log))
            while "block forever" not in (text := Path(log.name).read_text()):
                assert nodes[-1].poll() is None, text
                time.sleep(0.1)
            if len(nodes) == 1:
                monkeypatch.setenv("RAY_ADDRESS", Path(place, "ray_current_cluster").read_text())
            return nodes[-1]

        yield start
        for node in nodes:
            with suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_half_way_ends_with_the_outcomes_of_an_undisturbed_run(
    start_node: Callable[[], psutil.Popen], run: Run, undisturbed: Path
) -> None:
    _, second = start_node(), start_node()
    driver = run.start()
    while not (half_way := [student for student in _trained_by(second) if list(student.glob("*/whole.json"))]):
        assert driver.poll() is None
        time.sleep(0.05)
    os.killpg(second.pid, signal.SIGKILL)
    assert driver.wait() == 0, Path("errors.txt").read_text()
    _assert_is_like(Path(), undisturbed)
    assert "Resuming from" in half_way[0].with_suffix(".log").read_text()
    logs = [path.read_text() for path in Path("runs/cells").glob("*.log")]
    assert sorted(log.count("Saving the student") for log in logs) == [0, 1, 1]  # the base is not trained


def _trained_by(node: psutil.Popen) -> list[Path]:
    """Return the folders of the students that a node trains now."""
    lines = [_command_line(child).split() for child in node.children(recursive=True)]
    return [Path(line[line.index("--output_dir") + 1]) for line in lines if "--output_dir" in line]


@pytest.mark.slow
def test_a_full_disk_is_named_and_loses_nothing(run: Run, undisturbed: Path) -> None:
    driver = run.start()
    while driver.poll() is None:
        for child in driver.children(recursive=True):
            with suppress(psutil.Error):  # it has ended
                if _command_line(child).startswith("ray::"):  # weights have 3.7 MB, the optimizer's state 7.4
                    child.rlimit(psutil.RLIMIT_FSIZE, (5_000_000, 5_000_000))
        time.sleep(0.05)
    assert driver.returncode == 1
    failed = [line for line in Path("errors.txt").read_text().splitlines() if line.startswith("not done: ")]
    assert len(failed) == 2 and all("checkpoint-5" in line and "free some disk space" in line for line in failed)
    assert run.start().wait() == 0
    _assert_is_like(Path(), undisturbed)
