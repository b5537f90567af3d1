"""A training that was killed or ran out of disk resumes and ends with the same student."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, run_on_full_disk, write_project

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.files import mark_begun
from cot_distill_datasets.training.checkpoints import (
    last_checkpoint,
    mark_checkpoint,
    remove_checkpoints,
    remove_unusable,
)


SFT = ROOT / "training/sft.py"
# 80 rows in effective batches of 32: 3 steps an epoch, the last of them smaller; 9 steps in all.
SETTINGS = (
    "--effective_batch_size 32 --per_device_train_batch_size 8 --num_train_epochs 3 --save_steps 2 --logging_steps 1"
)
SAME = ("final_loss", "steps", "tokens_seen", "supervised_tokens", "recipe_sha256")  # in both provenances


@pytest.fixture(scope="module")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release of 80 rows per config, and the untrained demo student."""
    return write_project(tmp_path_factory.mktemp("small"), rows=80)


@pytest.fixture(scope="module")
def undisturbed(small_project: Path) -> Path:
    """A student whose training was not interrupted."""
    training = _train(small_project, "undisturbed")
    assert training.returncode == 0, training.stderr
    return small_project / "undisturbed"


def _command(output: str) -> list[str]:
    return [sys.executable, str(SFT), *SETTINGS.split(), "--output_dir", output]


def _train(cwd: Path, output: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(output), cwd=cwd, text=True, capture_output=True)


def _kill_when(condition: Callable[[], bool], cwd: Path, output: str) -> None:
    """Start a training and kill it (SIGKILL) as soon as `condition` is true."""
    training = subprocess.Popen(_command(output), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not condition():
        assert training.poll() is None, "the training ended before it was killed"
        time.sleep(0.002)
    training.send_signal(signal.SIGKILL)
    training.wait()


@pytest.mark.slow
def test_a_training_killed_twice_and_once_out_of_disk_ends_like_an_undisturbed_one(
    small_project: Path, undisturbed: Path
) -> None:
    student = small_project / "killed"
    _kill_when((student / "checkpoint-2/model.safetensors").exists, small_project, "killed")  # while it is written
    _kill_when((student / "checkpoint-4/whole.json").exists, small_project, "killed")  # inside the second epoch

    # The weights have 3.7 MB, the optimizer's state twice as much.
    full = run_on_full_disk(*_command("killed")[1:], limit=5_000_000, cwd=small_project)
    assert full.returncode == 2 and "Traceback" not in full.stderr
    (message,) = [line for line in full.stderr.splitlines() if line.startswith("sft.py: ")]
    assert "killed/checkpoint-6" in message
    assert (student / "checkpoint-4/whole.json").is_file()
    shutil.copytree(student / "checkpoint-4", student / "checkpoint-5")
    (student / "checkpoint-5/optimizer.pt").write_bytes(pickle.dumps("not the optimizer's state"))

    resumed = _train(small_project, "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "half-written killed/checkpoint-6" in resumed.stderr and "optimizer.pt" in resumed.stderr
    assert "killed/checkpoint-4" in resumed.stderr
    assert (student / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    killed, expected = (json.loads((folder / "provenance.json").read_text()) for folder in (student, undisturbed))
    assert {name: killed[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert list(student.glob("checkpoint-*")) == []
    logged = [json.loads(line)["step"] for line in (student / "train.log").read_text().splitlines()]
    assert logged == [*range(1, 10), 9]  # each step once, although some were run twice, and the totals


@pytest.mark.slow
def test_a_complete_student_is_not_trained_again(small_project: Path, undisturbed: Path) -> None:
    before = os.stat(undisturbed / "model.safetensors").st_mtime_ns
    leftover = _checkpoint(undisturbed, 9, "0")  # a kill fell between provenance.json and its deletion
    again = _train(small_project, "undisturbed")
    assert again.returncode == 0 and "already trained" in again.stderr
    assert os.stat(undisturbed / "model.safetensors").st_mtime_ns == before and not leftover.exists()


def _checkpoint(student: Path, step: int, recipe: str | None) -> Path:
    """Write an empty checkpoint; it is half-written without a recipe."""
    folder = student / f"checkpoint-{step}"
    mark_begun(folder)
    if recipe:
        mark_checkpoint(folder, recipe, 1.5, "none")
    return folder


def test_the_last_complete_checkpoint_is_selected_by_its_number(tmp_path: Path) -> None:
    for step in (9, 10, 2):
        _checkpoint(tmp_path, step, "a")
    _checkpoint(tmp_path, 11, None)
    assert last_checkpoint(tmp_path, "a", "none") == (tmp_path / "checkpoint-10", 1.5)


FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
MARKERS = {"emptied": b"", "cut": b'{"facts": {"recip', "{}": b"{}", "null": b"null", "list": b"[]"}
DAMAGES = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "removed": lambda path: path.unlink(),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(path.name * 10)),
    "last byte": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
    "middle byte": lambda path: path.write_bytes(_with_other_middle(path.read_bytes())),
}


def _with_other_middle(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]


def _written_checkpoint(student: Path, step: int) -> Path:
    folder = student / f"checkpoint-{step}"
    mark_begun(folder)
    for name in FILES:
        (folder / name).write_bytes(name.encode() * (200_000 if name.startswith("model") else 20))
    mark_checkpoint(folder, "a", 1.5, "none")
    return folder


def _assert_is_skipped(checkpoint: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that a damaged checkpoint is named and deleted, if there is one before it, and otherwise kept."""
    with pytest.raises(CotDistillError, match=rf"{checkpoint} .*{name}.*delete the checkpoints"):
        last_checkpoint(checkpoint.parent, "a", "none")
    earlier = _written_checkpoint(checkpoint.parent, 2)
    assert last_checkpoint(checkpoint.parent, "a", "none") == (earlier, 1.5)
    remove_unusable(checkpoint.parent)
    (line,) = capsys.readouterr().err.splitlines()
    assert str(checkpoint) in line and name in line
    assert list(checkpoint.parent.iterdir()) == [earlier]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_with_a_damaged_file_is_skipped(
    name: str, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = _written_checkpoint(tmp_path, 4)
    DAMAGES[damage](checkpoint / name)
    _assert_is_skipped(checkpoint, name, capsys)


@pytest.mark.parametrize("content", MARKERS.values(), ids=MARKERS)
def test_a_checkpoint_with_a_damaged_marker_is_skipped(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = _written_checkpoint(tmp_path, 4)
    (checkpoint / "whole.json").write_bytes(content)
    _assert_is_skipped(checkpoint, "whole.json", capsys)


def test_a_marker_whose_seconds_are_a_text_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = _written_checkpoint(tmp_path, 4)
    marker = checkpoint / "whole.json"
    marker.write_text(marker.read_text().replace("1.5", '"soon"'))
    _assert_is_skipped(checkpoint, "whole.json", capsys)


def test_half_written_checkpoints_are_deleted_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete, half = _checkpoint(tmp_path, 2, "a"), _checkpoint(tmp_path, 4, None)
    remove_unusable(tmp_path)
    assert (complete.is_dir(), half.exists()) == (True, False)
    (line,) = capsys.readouterr().err.splitlines()
    assert str(half) in line


@pytest.mark.parametrize(("recipe", "sharding", "message"), [("b", "none", "recipe"), ("a", "FSDP", "none.*FSDP")])
def test_a_checkpoint_with_a_different_recipe_or_sharding_is_rejected(
    recipe: str, sharding: str, message: str, tmp_path: Path
) -> None:
    checkpoint = _checkpoint(tmp_path, 2, "a")
    with pytest.raises(CotDistillError, match=rf"checkpoint-2 .*{message}"):
        last_checkpoint(tmp_path, recipe, sharding)
    assert checkpoint.is_dir()


def test_a_kill_while_old_checkpoints_are_deleted_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = [_checkpoint(tmp_path, step, "a") for step in (2, 4, 10)]

    def interrupt(folder: Path) -> None:
        (folder / "whole.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", interrupt)
        remove_checkpoints(tmp_path, kept=2)
    assert last_checkpoint(tmp_path, "a", "none") == (checkpoints[-1], 1.5)
    remove_unusable(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(checkpoints[1:])


def test_a_checkpoint_from_another_trainer_is_rejected_and_not_deleted(tmp_path: Path) -> None:
    complete, foreign = _checkpoint(tmp_path, 2, "a"), tmp_path / "checkpoint-4"
    foreign.mkdir()
    (foreign / "trainer_state.json").write_text("{}")
    with pytest.raises(CotDistillError, match=r"checkpoint-4 .*`--output_dir`"):
        last_checkpoint(tmp_path, "a", "none")
    remove_unusable(tmp_path)
    assert complete.is_dir() and foreign.is_dir()


def test_a_folder_without_a_step_in_its_name_is_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-old").mkdir()
    assert last_checkpoint(tmp_path, "a", "none") is None


def test_a_missing_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "missing", "a", "none") is None
