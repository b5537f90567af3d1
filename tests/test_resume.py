"""A training that is killed or runs out of disk goes on as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import run_on_full_disk

from cot_distill_datasets import arith
from cot_distill_datasets.build import build
from cot_distill_datasets.checkpoints import (
    last_checkpoint,
    mark_begun,
    mark_whole,
    remove_checkpoints,
    remove_half_written,
)
from cot_distill_datasets.students import write_untrained_demo
from cot_distill_datasets.taxonomy import CotDistillError


SFT = Path(__file__).parents[1] / "training/sft.py"
# 80 rows in effective batches of 32: 3 steps an epoch, the last of them not full; 9 steps in all.
SETTINGS = (
    "--effective_batch_size 32 --per_device_train_batch_size 8 --num_train_epochs 3 --save_steps 2 --logging_steps 1"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release of 80 rows a config, and the untrained demo student."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arith, "TRAIN_SIZE", 80)
        build(folder / "eit/cot-distill")
    write_untrained_demo(folder / "runs/demo/untrained")
    return folder


def _command(output: str) -> list[str]:
    return [sys.executable, str(SFT), *SETTINGS.split(), "--logging_steps", "1", "--output_dir", output]


def _train(cwd: Path, output: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(output), cwd=cwd, text=True, capture_output=True)


def _kill_when(there: Callable[[], bool], cwd: Path, output: str) -> None:
    """Begin a training and kill it, as no process can prepare for, when `there` says so."""
    begun = subprocess.Popen(_command(output), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not there():
        assert begun.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    begun.send_signal(signal.SIGKILL)
    begun.wait()


def test_a_training_killed_twice_and_out_of_disk_once_ends_as_one_that_was_not(small: Path) -> None:
    assert _train(small, "whole").returncode == 0
    student = small / "killed"
    _kill_when((student / "checkpoint-2/model.safetensors").exists, small, "killed")  # in the middle of writing it
    _kill_when((student / "checkpoint-4/whole.json").exists, small, "killed")  # in the middle of the second epoch

    # The weights have 3.7 MB, the optimizer's state twice as much.
    full = run_on_full_disk(*_command("killed")[1:], limit=5_000_000, cwd=small)
    assert full.returncode == 2 and "Traceback" not in full.stderr
    (said,) = [line for line in full.stderr.splitlines() if line.startswith("sft.py: ")]
    assert "checkpoint-6 cannot be written" in said and "make room" in said
    assert (student / "checkpoint-4/whole.json").is_file()

    ended = _train(small, "killed")
    assert ended.returncode == 0, ended.stderr
    assert "is half-written: removed." in ended.stderr and "Going on from killed/checkpoint-4." in ended.stdout
    assert (student / "model.safetensors").read_bytes() == (small / "whole/model.safetensors").read_bytes()
    made, uninterrupted = (json.loads((small / name / "provenance.json").read_text()) for name in ("killed", "whole"))
    for name in ("final_loss", "steps", "tokens_seen", "recipe_sha256"):
        assert made[name] == uninterrupted[name], name
    assert list(student.glob("checkpoint-*")) == []


def test_a_student_that_is_whole_is_not_trained_again(small: Path) -> None:
    before = os.stat(small / "whole/model.safetensors").st_mtime_ns
    again = _train(small, "whole")
    assert again.returncode == 0 and "is in whole already" in again.stdout
    assert os.stat(small / "whole/model.safetensors").st_mtime_ns == before


def _checkpoint(student: Path, step: int, recipe: str | None) -> Path:
    folder = student / f"checkpoint-{step}"
    mark_begun(folder)
    if recipe:
        mark_whole(folder, recipe, 1.5, "none")
    return folder


def test_the_last_whole_checkpoint_is_taken_by_its_number(tmp_path: Path) -> None:
    for step in (9, 10, 2):
        _checkpoint(tmp_path, step, "a")
    _checkpoint(tmp_path, 11, None)
    assert last_checkpoint(tmp_path, "a", "none") == (tmp_path / "checkpoint-10", 1.5)


def test_half_written_checkpoints_are_removed_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, half = _checkpoint(tmp_path, 2, "a"), _checkpoint(tmp_path, 4, None)
    remove_half_written(tmp_path)
    assert (whole.is_dir(), half.exists()) == (True, False)
    assert capsys.readouterr().err == f"{half} is half-written: removed.\n"


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 2, "a")
    with pytest.raises(CotDistillError, match=r"checkpoint-2 is of another recipe .*or give another `--output_dir`"):
        last_checkpoint(tmp_path, "b", "none")


def test_a_checkpoint_that_was_sharded_otherwise_is_refused(tmp_path: Path) -> None:
    _checkpoint(tmp_path, 2, "a")
    with pytest.raises(CotDistillError, match=r"checkpoint-2 was sharded by none, and this run by FSDP, which cannot"):
        last_checkpoint(tmp_path, "a", "FSDP")


def test_a_kill_while_old_checkpoints_are_removed_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = [_checkpoint(tmp_path, step, "a") for step in (2, 4, 10)]

    def killed(folder: Path) -> None:
        (folder / "whole.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        remove_checkpoints(tmp_path, kept=2)
    assert last_checkpoint(tmp_path, "a", "none") == (checkpoints[-1], 1.5)
    remove_half_written(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(checkpoints[1:])


def test_checkpoints_of_another_trainer_are_refused_and_stay(tmp_path: Path) -> None:
    whole, foreign = _checkpoint(tmp_path, 2, "a"), tmp_path / "checkpoint-4"
    foreign.mkdir()
    (foreign / "trainer_state.json").write_text("{}")
    with pytest.raises(CotDistillError, match="checkpoint-4 is of another trainer"):
        last_checkpoint(tmp_path, "a", "none")
    remove_half_written(tmp_path)
    assert whole.is_dir() and foreign.is_dir()


def test_a_folder_that_is_called_like_a_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-old").mkdir()
    assert last_checkpoint(tmp_path, "a", "none") is None


def test_without_a_checkpoint_a_training_begins_anew(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "nothing", "a", "none") is None
