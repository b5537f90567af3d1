"""A published student is what a stranger downloads, whatever fails on the way, and it names no machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hub_server import READ_TOKEN, HubServer
from huggingface_hub import ModelCard, parse_eval_result_entries
from support import CommandForks, make_provenance
from yaml import safe_load

from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluation.results import Student, hash_files
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate, read_answers
from cot_distill_datasets.files import locked


REPO, MODEL = "me/student", "models/me/student"
COMMIT, TAG = f"POST /api/{MODEL}/commit/", f"POST /api/{MODEL}/tag/"
ALWAYS = 1000
CELL = Path("runs/cells/0123456789abcdef")
RUN = "runs/demo/oracle-l3-gsm8k/seed1"  # a link to the cell
FILES = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "loss.png", "model.safetensors",
    "provenance.json", "tokenizer.json", "tokenizer_config.json", "trainer_state.json", ".eval_results/gsm8k.yaml",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, project_dir: Path, stand_in_release: Path) -> Path:
    """A folder with a student of a study, evaluated by its absolute path, beside what a training leaves behind."""
    folder = tmp_path_factory.mktemp("trained")
    cell = Path(shutil.copytree(project_dir / "runs/demo/untrained", folder / CELL))
    (folder / RUN).parent.mkdir(parents=True)
    (folder / RUN).symlink_to(os.path.relpath(folder / CELL, (folder / RUN).parent))
    (cell / "checkpoint-5").mkdir()
    for name in ("checkpoint-5/model.safetensors", "train.log", ".lock", "optimizer.pt", "loss.png"):
        (cell / name).write_text(f"{folder if name != 'loss.png' else ''}")
    (cell / "trainer_state.json").write_text('{"log_history": []}')
    config = EvaluationConfig(backend="hf", limit=2, release=stand_in_release)
    evaluate(Student.open(cell), ["cot_svamp"], config)
    for path in [*cell.rglob("results_*.json"), *cell.rglob("samples_*.jsonl")]:  # answers to GSM8K take longer
        text = path.read_text().replace("svamp", "gsm8k")
        path.rename(path.with_name(path.name.replace("svamp", "gsm8k"))).write_text(text)
    (path,) = cell.rglob("results_*.json")
    result = json.loads(path.read_text())
    result["config"]["limit"], result["n-samples"]["cot_gsm8k"]["original"] = None, 2  # as if it had no more questions
    path.write_text(json.dumps(result))
    values = {"base_model": "runs/demo/untrained", "base_is_on_hub": False, "config": "oracle-l3-gsm8k"}
    make_provenance(**values, arguments={"seed": 1}, chat_template_sha256=result["chat_template_sha"]).write(cell)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A student that a test may change, relative to the working directory."""
    shutil.copytree(trained, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    return RUN


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Publish = Callable[..., Ended]


@pytest.fixture
def publish(client: HubServer, run: str, capfd: pytest.CaptureFixture[str]) -> Publish:
    """Return a function that runs the command. Its output must never contain a token."""

    def publish(*arguments: str) -> Ended:
        names_repo = {"--namespace", "--repo-id"} & {*arguments}
        code = main(["publish-student", *arguments, *([] if names_repo else ["--repo-id", REPO])])
        output = capfd.readouterr()
        assert "MustNeverBeSeen" not in output.out + output.err
        return Ended(code, output.out, output.err)

    return publish


def _writes(hub: HubServer) -> list[str]:
    return [request for request in hub.requests if not request.startswith(("GET", "HEAD"))]


def _tags(hub: HubServer) -> list[str]:
    return sorted(hub.repos[MODEL].tags)


def test_a_student_is_published_in_one_commit_and_a_tag(client: HubServer, run: str, publish: Publish) -> None:
    assert publish(run).code == 0
    files = client.visible(MODEL)
    assert files.keys() == FILES
    unchanged = FILES - {"README.md", ".eval_results/gsm8k.yaml"}
    assert {name: files[name] for name in unchanged} == {name: Path(run, name).read_bytes() for name in unchanged}
    assert (_tags(client), client.visible(MODEL, "v1")) == (["v1"], files)
    assert len(client.repos[MODEL].find("main").parents) == 1  # the Hub's own first commit
    assert not Path(run, "README.md").exists()


def test_the_published_card_has_the_scores_with_intervals(client: HubServer, run: str, publish: Publish) -> None:
    assert publish(run).code == 0
    files = {
        name: content.decode() for name, content in client.visible(MODEL).items() if name.endswith(("md", "yaml"))
    }
    card = ModelCard(files["README.md"])
    (result,) = card.data.eval_results
    assert (result.metric_value, result.metric_args["n"], result.metric_args["interval_95"]) == (0.0, 2, [0.0, 65.76])
    assert result.metric_args["command"] == f"cot-distill evaluate {REPO} --tasks cot_gsm8k --backend hf"
    (entry,) = parse_eval_result_entries(safe_load(files[".eval_results/gsm8k.yaml"]))
    assert (entry.dataset_id, entry.value) == ("openai/gsm8k", 0.0)
    assert entry.notes.endswith(f"; cot-distill evaluate {REPO} --tasks cot_gsm8k --backend hf")


@pytest.mark.parametrize("options", [[], ["--with-samples"]])
def test_no_published_file_names_a_folder_of_the_machine(
    client: HubServer, run: str, publish: Publish, options: list[str], trained: Path, stand_in_release: Path
) -> None:
    assert publish(str(Path(run).absolute()), *options).code == 0
    folders = [Path.home(), Path.cwd(), trained, stand_in_release, Path(sys.prefix), Path("runs/cells"), CELL.name]
    for name, content in client.visible(MODEL).items():
        assert [folder for folder in folders if str(folder).encode() in content] == [], name


def test_samples_are_published_only_if_asked_for_and_removed_again(
    client: HubServer, run: str, publish: Publish
) -> None:
    assert publish(run, "--with-samples").code == 0
    (samples,) = Path(run).rglob("samples_*.jsonl")
    assert client.visible(MODEL)["samples/cot_gsm8k.jsonl"] == samples.read_bytes()
    assert publish(run).code == 0
    assert client.visible(MODEL).keys() == FILES
    assert _tags(client) == ["v1", "v2"]


def test_a_second_publication_writes_nothing_and_prints_the_same_commit(
    client: HubServer, run: str, publish: Publish
) -> None:
    first = publish(run)
    client.requests.clear()
    assert publish(run)[:2] == first[:2]
    assert _writes(client) == []
    assert client.repos[MODEL].find("v1").id == first.out.removeprefix(f"{REPO}\t").strip()


def test_new_results_are_a_new_commit_and_the_next_tag(client: HubServer, run: str, publish: Publish) -> None:
    assert publish(run).code == 0
    first = client.visible(MODEL)
    shutil.rmtree(Path(run, "results"))
    assert publish(run).code == 0
    assert client.visible(MODEL).keys() == FILES - {".eval_results/gsm8k.yaml"}
    assert (_tags(client), client.visible(MODEL, "v1")) == (["v1", "v2"], first)
    assert client.visible(MODEL, "v2") == client.visible(MODEL)


def test_a_dry_run_lists_each_step_and_writes_nothing(client: HubServer, run: str, publish: Publish) -> None:
    steps = [line.split("\t") for line in publish(run, "--dry-run").out.splitlines()]
    expected = [["create", REPO], *(["add", name] for name in sorted(FILES)), ["tag", "v1"]]
    assert steps == [[REPO, *step] for step in expected]
    assert (client.repos, _writes(client)) == ({}, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "request_start", "times", "code"),
    [
        ("drop", "PUT /lfs/", 1, 0),
        ("drop", "PUT /lfs/", ALWAYS, 2),
        ("drop", COMMIT, 1, 2),
        ("mute", COMMIT, 1, 2),
        ("mute", "POST /api/repos", 1, 2),
        ("429", "PUT /lfs/", 1, 0),
        ("429", COMMIT, 1, 2),
        ("429", f"GET /api/{MODEL}/refs", 1, 2),
        ("500", "PUT /lfs/", 1, 0),
        ("500", COMMIT, ALWAYS, 2),
        ("500", TAG, 1, 1),
        ("stale", COMMIT, 1, 2),
    ],
)
def test_after_a_failure_a_student_is_visible_or_none_and_a_repeat_finishes(
    client: HubServer, run: str, publish: Publish, kind: str, request_start: str, times: int, code: int
) -> None:
    client.fail(kind, request_start, times)
    assert publish(run).code == code
    foreign = {"README.md": b"by hand"} if kind == "stale" else {}
    visible = client.visible(MODEL)
    assert visible == foreign or visible.keys() == FILES
    assert code == 0 or not client.repos.get(MODEL) or not _tags(client)
    client.faults.clear()
    assert publish(run).code == 0
    assert client.visible(MODEL).keys() == FILES
    assert client.visible(MODEL) == client.visible(MODEL, "v1")
    assert len(client.repos[MODEL].find("main").parents) == (2 if foreign else 1)


@pytest.mark.slow
def test_twenty_kills_never_leave_half_a_student_and_a_repeat_ends_like_an_undisturbed_publication(
    hub: HubServer, run: str, tmp_path: Path
) -> None:
    with CommandForks(hub.environment(tmp_path / "home"), "publish-student", run, "--repo-id", REPO) as publisher:
        publisher.start()
        assert publisher.wait() == 0
        undisturbed, count = hub.repos[MODEL], len(hub.requests)
        files = hub.visible(MODEL)
        kills = [(kind, request) for request in range(count) for kind in ("hang", "late")]
        assert len(kills) >= 20 and files.keys() == FILES
        for kind, request in kills:
            for state in (hub.repos, hub.blobs, hub.expected, hub.reached, hub.released):
                state.clear()
            hub.fail("", "", request)  # these requests are carried out
            hub.fail(kind, "")
            process = publisher.start()
            assert hub.reached.wait(60)
            os.kill(process, signal.SIGKILL)
            assert publisher.wait() == signal.SIGKILL
            hub.released.set()
            assert hub.visible(MODEL) in ({}, files)
            publisher.start()
            assert publisher.wait() == 0
            assert hub.repos[MODEL] == undisturbed
            assert hub.visible(MODEL, "v1") == files


def test_several_students_have_a_repo_each_named_after_them(client: HubServer, run: str, publish: Publish) -> None:
    other = Path(shutil.copytree(Path(run).resolve(), "runs/other", ignore=shutil.ignore_patterns("results")))
    ended = publish(run, str(other), "--namespace", "me")
    assert ended.code == 2
    assert all(datum in ended.err for datum in (run, str(other), "me/demo-oracle-l3-gsm8k-seed1"))
    assert client.requests == []
    provenance = other / "provenance.json"
    provenance.write_text(provenance.read_text().replace('"seed": 1', '"seed": 2'))
    assert publish(run, str(other), "--namespace", "me").code == 0
    assert list(client.repos) == [f"models/me/demo-oracle-l3-gsm8k-seed{seed}" for seed in (1, 2)]

    client.repos.clear()
    client.fail("500", "POST /api/models/me/demo-oracle-l3-gsm8k-seed2/commit/", ALWAYS)
    assert publish(run, str(other), "--namespace", "me").code == 1
    assert [bool(repo.tags) for repo in client.repos.values()] == [True, False]


def test_what_cannot_be_published_is_rejected_before_any_request(
    client: HubServer, run: str, publish: Publish, project_dir: Path
) -> None:
    for arguments, named in [
        ([run, str(project_dir / "runs/demo/untrained")], "--namespace"),
        ([str(project_dir / "runs/demo/untrained")], "provenance.json"),
        (["missing"], "missing"),
        ([run, "--repo-id", "no-owner"], "'no-owner'"),
        ([run, "--repo-id", "me/a b"], "me/a b"),
    ]:
        ended = publish(*arguments)
        assert (ended.code, named in ended.err) == (2, True)
    assert not Path(".missing.lock").exists()
    assert client.requests == []


@pytest.mark.parametrize("token", [READ_TOKEN, "hf_unknownMustNeverBeSeen", "hf_illegal\x0bMustNeverBeSeen"])
def test_a_token_that_may_not_write_publishes_nothing(
    token: str, client: HubServer, run: str, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert publish(run).code == 2
    assert client.repos == {}


@pytest.mark.parametrize("path", ["/data/someone/checkpoint-5", "file:///home/someone/x"])
def test_a_student_whose_files_name_a_path_is_rejected_with_the_file_and_the_path(
    path: str, client: HubServer, run: str, publish: Publish
) -> None:
    provenance = Path(run, "provenance.json")
    provenance.write_text(
        provenance.read_text().replace('"seed": 1', f'"seed": 1, "resume_from_checkpoint": "{path}"')
    )
    ended = publish(run)
    assert ended.code == 2
    assert all(datum in ended.err for datum in ("provenance.json", path.removeprefix("file://")))
    assert client.requests == []


def test_a_student_that_another_process_writes_or_publishes_is_not_published(
    client: HubServer, run: str, publish: Publish
) -> None:
    with locked(Path(run).resolve()):
        ended = publish(run)
    assert (ended.code, str(Path(run).resolve()) in ended.err) == (2, True)
    assert client.requests == []


@pytest.mark.slow
def test_a_downloaded_student_gives_the_same_answers(
    client: HubServer, run: str, publish: Publish, tmp_path: Path, stand_in_release: Path
) -> None:
    assert publish(run).code == 0
    code = "import sys; from huggingface_hub import snapshot_download as s; s(sys.argv[1], local_dir=sys.argv[1])"
    environment = client.environment(tmp_path / "home", HF_TOKEN="")
    subprocess.run([sys.executable, "-c", code, REPO], env=environment, check=True, capture_output=True)
    assert hash_files(Path(REPO)) == hash_files(Path(run))
    config = EvaluationConfig(backend="hf", limit=2, release=stand_in_release)
    scores, answers = [], []
    for folder in (Path(run), Path(REPO)):
        shutil.rmtree(folder / "results", ignore_errors=True)
        student = Student.open(folder)
        scores += [
            (score.correct, score.n, score.mean_output_tokens) for score in evaluate(student, ["cot_svamp"], config)
        ]
        answers.append([sample["resps"] for sample in read_answers(student, "cot_svamp", config)[1]])
    assert scores[0] == scores[1] and answers[0] == answers[1]
