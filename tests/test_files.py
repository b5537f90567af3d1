"""The primitives of atomic output: after a kill at any moment, the old or the new version exists in full."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import run_on_full_disk

from cot_distill_datasets.errors import CotDistillError
from cot_distill_datasets.files import (
    atomic_dir,
    atomic_file,
    atomic_write,
    completion,
    damage,
    is_begun,
    is_complete,
    is_empty,
    locked,
    mark_begun,
    mark_complete,
    recover,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds one old file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/old.txt").write_text("old")
    return tmp_path / "folder"


@contextmanager
def _locked_by_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that holds the lock of `folder` until it is killed."""
    code = (
        "import sys, time; from pathlib import Path; from cot_distill_datasets.files import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_atomic_dir_replaces_the_whole_folder(folder: Path) -> None:
    with atomic_dir(folder) as staged:
        (staged / "new.txt").write_text("new")
        assert os.listdir(folder) == ["old.txt"]
    assert os.listdir(folder) == ["new.txt"]
    assert sorted(os.listdir(folder.parent)) == [".folder.lock", "folder"]


def test_atomic_dir_creates_missing_parents(tmp_path: Path) -> None:
    with atomic_dir(tmp_path / "a/b") as staged:
        (staged / "new.txt").write_text("new")
    assert (tmp_path / "a/b/new.txt").read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_dir_keeps_the_old_folder_if_the_block_fails(folder: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_dir(folder) as staged:
        (staged / "new.txt").write_text("new")
        raise error
    assert os.listdir(folder) == ["old.txt"]
    assert not (folder.parent / ".folder.new").exists()


def test_atomic_dir_reports_a_full_disk_and_keeps_the_old_folder(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cot_distill_datasets.files import atomic_dir\n"
        "with atomic_dir(Path(sys.argv[1])) as staged: (staged / 'new.txt').write_text('x' * 20_000)"
    )
    ended = run_on_full_disk("-c", code, str(folder), limit=10_000)
    assert ended.returncode == 1
    assert f"CotDistillError: Cannot write {folder}" in ended.stderr.splitlines()[-1]
    assert os.listdir(folder) == ["old.txt"]
    assert not (folder.parent / ".folder.new").exists()


def test_atomic_dir_starts_with_an_empty_folder_after_a_kill(folder: Path) -> None:
    (folder.parent / ".folder.new").mkdir()
    (folder.parent / ".folder.new/half.txt").write_text("half")
    with atomic_dir(folder) as staged:
        assert os.listdir(staged) == []


def test_atomic_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("old", "new"):
        atomic_write(path, text)
        assert path.read_text() == text
    assert os.listdir(tmp_path) == ["a.txt"]


def test_two_processes_write_one_file_without_touching_what_the_other_has_staged(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import sys; from pathlib import Path; from cot_distill_datasets.files import atomic_write\n"
        "atomic_write(Path(sys.argv[1]), 'other')"
    )
    with atomic_file(path) as staged:
        staged.write_text("own")
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
        assert path.read_text() == "other"
    assert path.read_text() == "own" and os.listdir(tmp_path) == ["a.txt"]


def test_atomic_write_keeps_the_old_file_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import sys; from pathlib import Path; from cot_distill_datasets.files import atomic_write\n"
        "atomic_write(Path(sys.argv[1]), 'x' * 20_000)"
    )
    ended = run_on_full_disk("-c", code, str(path), limit=10_000)
    assert "OSError" in ended.stderr
    assert path.read_text() == "old"


def test_a_missing_or_empty_folder_is_empty(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert [is_empty(path) for path in (tmp_path / "missing", tmp_path / "empty")] == [True, True]
    assert [is_empty(path) for path in (folder, folder / "old.txt")] == [False, False]


def test_recover_restores_the_old_folder_of_a_swap_that_was_killed(folder: Path) -> None:
    folder.rename(folder.parent / ".folder.old")
    recover(folder)
    assert os.listdir(folder) == ["old.txt"]
    assert not (folder.parent / ".folder.old").exists()


def test_recover_keeps_the_new_folder_of_a_swap_whose_renames_are_done(folder: Path) -> None:
    (folder.parent / ".folder.old").mkdir()
    recover(folder)
    assert os.listdir(folder) == ["old.txt"]
    assert not (folder.parent / ".folder.old").exists()


def test_recover_changes_nothing_after_a_finished_swap(folder: Path) -> None:
    recover(folder)
    assert os.listdir(folder.parent) == ["folder"]


def test_recover_waits_for_a_swap_in_progress(folder: Path) -> None:
    """Between its two renames, a swap has only the old folder; a reader must not restore it."""
    old = folder.rename(folder.parent / ".folder.old")
    reader = threading.Thread(target=recover, args=(folder,))
    with locked(folder):
        reader.start()
        reader.join(0.3)
        assert reader.is_alive() and old.is_dir() and not folder.exists()
        folder.mkdir()
    reader.join(60)
    assert os.listdir(folder) == []
    assert not old.exists()


def test_a_lock_held_by_another_process_is_an_error_that_names_the_folder(folder: Path) -> None:
    with (
        _locked_by_another_process(folder),
        pytest.raises(CotDistillError, match=str(folder)),
        locked(folder),
    ):
        pass


def test_a_killed_process_holds_no_lock(folder: Path) -> None:
    with _locked_by_another_process(folder) as process:
        process.kill()
        process.wait()
        with locked(folder):
            pass


def test_a_lock_is_released_after_an_error(folder: Path) -> None:
    with pytest.raises(RuntimeError), locked(folder):
        raise RuntimeError
    with locked(folder):
        pass


def test_locks_of_two_folders_are_independent(folder: Path) -> None:
    with locked(folder), locked(folder.parent / "other"):
        pass


def test_a_folder_is_complete_only_after_its_last_mark(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-1"
    assert (is_begun(checkpoint), is_complete(checkpoint)) == (False, False)
    mark_begun(checkpoint)
    assert (is_begun(checkpoint), is_complete(checkpoint)) == (True, False)
    mark_complete(checkpoint, {"step": 1})
    assert (is_begun(checkpoint), is_complete(checkpoint)) == (False, True)
    assert completion(checkpoint) == {"step": 1} and damage(checkpoint) is None
    assert os.listdir(checkpoint) == ["whole.json"]


def test_a_damaged_file_in_a_subfolder_is_named(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/0.bin").write_bytes(b"x" * (3 << 20))
    mark_complete(tmp_path, {})
    assert damage(tmp_path) is None
    os.truncate(tmp_path / "shards/0.bin", (3 << 20) - 1)
    assert damage(tmp_path) == "shards/0.bin"
