"""`cot-distill train`: its profiles, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from cot_distill_datasets.cli import main
from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.files import resource
from cot_distill_datasets.training import launch


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What accelerate is asked to launch, instead of its launch."""
    calls: list[SimpleNamespace] = []
    monkeypatch.setattr(launch, "launch_command", calls.append)
    return calls


@pytest.mark.parametrize(
    ("profile", "gpus", "name", "processes"),
    [
        (None, 0, "cpu", None), (None, 1, "gpu", None), (None, 4, "ddp", 4), ("fsdp2", 4, "fsdp2", 4),
        ("ddp", 0, "ddp", 1), ("cpu", 4, "cpu", None),
    ],
)  # fmt: skip
def test_a_profile_gets_a_process_for_each_gpu(
    profile: str | None, gpus: int, name: str, processes: int | None,
    launched: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("torch.accelerator.device_count", lambda: gpus)
    assert launch.launch(["--seed", "7"], profile) == 0
    (call,) = launched
    assert Path(call.config_file) == resource(f"training/accelerate/{name}.yaml")
    assert (call.num_processes, call.training_script_args) == (processes, ["--seed", "7"])
    assert Path(call.training_script) == resource("training/sft.py")


def test_a_profile_may_be_a_yaml_and_a_missing_one_names_the_nearest(
    launched: list[SimpleNamespace], tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("num_processes: 3")
    assert launch.launch([], str(own)) == 0
    assert (launched[0].config_file, launched[0].num_processes) == (str(own), None)
    with pytest.raises(CotDistillError, match=r"'fsdp': .* `fsdp2`"):
        launch.launch([], "fsdp")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (subprocess.CalledProcessError(2, "sft.py"), 2),
        (subprocess.CalledProcessError(-signal.SIGKILL, "sft.py"), 137),
        (ChildFailedError("sft.py", {1: ProcessFailure(1, 42, 2, "")}), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_is_that_of_the_training(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(launch, "launch_command", fail)
    with subprocess.Popen(["sleep", "60"]) as other:  # not the training's, as the grader's worker is not
        assert main(["train"]) == code
        assert other.poll() is None
        other.kill()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_an_interrupt_ends_the_training_with_exit_code_130(kill: object, project_dir: Path, tmp_path: Path) -> None:
    """`os.killpg` is what Ctrl-C in a terminal does."""
    for name in ("eit", "runs"):
        (tmp_path / name).symlink_to(project_dir / name)
    command = [
        sys.executable,
        "-u",
        "-m",
        "cot_distill_datasets.cli",
        "train",
        "--output_dir",
        str(tmp_path / "student"),
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout
        losses = tmp_path / "student/train.log"
        while not losses.is_file() or "loss" not in losses.read_text():
            assert process.poll() is None
            sleep(0.1)
        kill(process.pid, signal.SIGINT)
        process.stdout.read()  # ends with the last process that has it
        assert process.wait(60) == 130
