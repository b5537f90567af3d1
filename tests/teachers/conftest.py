"""A folder with a release of 40 questions of `arith`, and a correct answer to each of them."""

from pathlib import Path

import pytest
from support import build_questions

from cot_distill_datasets.teachers import sender
from cot_distill_datasets.teachers.requests import Question, load_questions


@pytest.fixture(scope="session")
def release_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_questions(tmp_path_factory.mktemp("questions"), 40)


@pytest.fixture
def questions(release_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions of the release in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("eit").symlink_to(release_dir / "eit")
    return load_questions(Path("eit/cot-distill"), "arith")


@pytest.fixture
def answers(questions: list[Question]) -> dict[str, str]:
    """A correct answer to each question."""
    return {item.question: f"We compute it: {item.gold}.\nThe answer is {item.gold}" for item in questions}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait milliseconds between the tries of a request."""
    monkeypatch.setattr(sender, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(sender, "_LONGEST_WAIT", 0.05)
