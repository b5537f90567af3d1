"""A published study is a repo for each of its students, and a collection that lists each of them once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import HubServer
from support import make_provenance

from cot_distill_datasets.cli import main
from cot_distill_datasets.studies.plan import make_plan
from cot_distill_datasets.studies.study import load_study


ALWAYS = 1000
ITEMS = r"POST /api/collections/me/[\w-]+/items"
NAMES = ["answer-arith", *(f"oracle-l{level}-arith" for level in range(1, 7))]
STUDENTS = [f"me/demo-{name}-learning_rate-0.001-seed1" for name in NAMES]


@pytest.fixture
def study(study_file: Callable[..., Path]) -> Path:
    """A study whose students are all here, trained as far as a publication can tell."""
    file = study_file(configs=["oracle-l*-arith"], learning_rate=[1e-3])
    for planned in make_plan(load_study(file), Path("out")).cells:
        if planned.cell.config != "untrained":
            shutil.copytree("runs/demo/untrained", planned.student)
            values = {"base_model": "runs/demo/untrained", "base_is_on_hub": False, "arguments": {"seed": 1}}
            make_provenance(**values, config=planned.cell.config).write(planned.student)
    return file


def _publish(study: Path, *more: str) -> int:
    return main(["study", "publish", str(study), "--out", "out", "--namespace", "me", *more])


def _items(hub: HubServer) -> list[tuple[str, str]]:
    (collection,) = hub.collections.values()
    return sorted((item["id"], item["type"]) for item in collection["items"])


@pytest.mark.slow
def test_a_study_is_a_repo_for_each_student_and_a_collection_with_them_and_the_dataset(
    client: HubServer, study: Path
) -> None:
    client.add_repo("eit/cot-distill")
    assert _publish(study) == 0
    assert sorted(client.repos) == ["eit/cot-distill", *(f"models/{name}" for name in STUDENTS)]
    assert _items(client) == [("eit/cot-distill", "dataset"), *((name, "model") for name in STUDENTS)]
    assert [one["title"] for one in client.collections.values()] == ["cot-distill study small"]
    client.requests.clear()
    assert _publish(study) == 0
    assert [request for request in client.requests if not request.startswith(("GET", "HEAD"))] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "request_start", "code"),
    [
        ("mute", "POST /api/collections", 1),
        ("500", ITEMS, 1),
        ("mute", ITEMS, 1),
        ("{}", ITEMS, 1),
        ("500", "GET /api/collections", 1),
    ],
)
def test_after_a_failure_a_repeat_completes_the_same_collection(
    client: HubServer, study: Path, kind: str, request_start: str, code: int
) -> None:
    client.add_repo("eit/cot-distill")
    client.fail(kind, request_start, ALWAYS if request_start.startswith("GET") else 1)
    assert _publish(study) == code
    client.faults.clear()
    assert _publish(study) == 0
    assert _items(client) == [("eit/cot-distill", "dataset"), *((name, "model") for name in STUDENTS)]


@pytest.mark.slow
def test_what_is_not_on_the_hub_or_not_here_is_named_and_the_rest_is_collected(
    client: HubServer, study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    absent, *_ = (p for p in make_plan(load_study(study), Path("out")).cells if p.cell.config == "answer-arith")
    shutil.rmtree(absent.student)
    assert _publish(study) == 1
    errors = capfd.readouterr().err
    assert f"not done: {absent.cell.name}: " in errors and "eit/cot-distill: the repo does not exist" in errors
    assert _items(client) == [(name, "model") for name in STUDENTS[1:]]


def test_a_dry_run_lists_the_items_and_writes_nothing(
    client: HubServer, study: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _publish(study, "--dry-run") == 0
    steps = [line.split("\t") for line in capfd.readouterr().out.splitlines()]
    collected = [step[1:] for step in steps if step[0] == "collection"]
    assert collected[0] == ["create", "me/cot-distill study small"]
    assert sorted(collected[1:]) == [["add", name] for name in ["eit/cot-distill", *STUDENTS]]
    assert all([name, "add", "model.safetensors"] in steps for name in STUDENTS)
    assert (client.repos, client.collections) == ({}, {})


def test_a_study_without_students_is_rejected(
    client: HubServer, study_file: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert _publish(study_file()) == 2
    assert "`cot-distill study run`" in capfd.readouterr().err
    assert client.requests == []
