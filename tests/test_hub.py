"""What is published is what `load_dataset` reads, whatever fails on the way; the Hub is a small one of our own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from hub_server import READ_TOKEN, TOKEN, HubServer

from cot_distill_datasets import CotDistillError, arith
from cot_distill_datasets.audit import audit, release_hash
from cot_distill_datasets.build import build


ROOT = Path(__file__).parent.parent
REPO = "eit/cot-distill"
# The command as it is, but the client's waits between its retries are shortened.
PUBLISH = (
    "import sys, time\nwait = time.sleep\ntime.sleep = lambda seconds: wait(seconds / 100)\n"
    "from cot_distill_datasets.cli import main\nsys.exit(main(['publish', *sys.argv[1:]]))"
)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of few rows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arith, "TRAIN_SIZE", 20)
        build(folder := tmp_path_factory.mktemp("built") / "release")
    assert audit(folder).broken == []
    return folder


@pytest.fixture
def release(built: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "release"))


@pytest.fixture
def paper(built: Path, tmp_path: Path) -> Path:
    """Another edition, without one of the configs."""
    folder = Path(shutil.copytree(built, tmp_path / "paper"))
    shutil.rmtree(folder / "data/oracle-l6-arith")
    return _restate(folder, edition="paper")


def _restate(folder: Path, **changed: str) -> Path:
    """Change the index, also to the configs that are left, and let the audit that passed be of it."""
    index, found = (json.loads((folder / name).read_text()) for name in ("release.json", "audit.json"))
    index["configs"] = [stats for stats in index["configs"] if (folder / stats["file"]).is_file()]
    (folder / "release.json").write_text(json.dumps(index | changed))
    (folder / "audit.json").write_text(json.dumps(found | {"release": release_hash(folder)}))
    return folder


def _environment(hub: HubServer, folder: Path, **changed: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    home = str(folder.parent / "home")
    ours = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": home}
    return own | ours | {"PYTHONPATH": str(ROOT)} | changed


def _publish(hub: HubServer, folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command. Whatever comes of it, it says nothing of the token and shows no traceback."""
    command = [sys.executable, "-c", PUBLISH, str(folder), "--repo-id", REPO, *more]
    ended = subprocess.run(
        command, env=_environment(hub, folder, **environment), cwd=folder.parent, text=True, capture_output=True
    )
    said = ended.stdout + ended.stderr
    assert "MustNeverBeSeen" not in said
    assert "Traceback" not in said
    return ended


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def _visible(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    files = hub.files(REPO, revision) if REPO in hub.repos else {}
    return {path: content for path, content in files.items() if path != ".gitattributes"}


def _commits(hub: HubServer, revision: str = "main") -> int:
    return len(hub.repos[REPO].find(revision).parents)  # all but the Hub's own


def _writes(requests: list[str]) -> list[str]:
    return [request for request in requests if not request.startswith(("GET", "HEAD"))]


def _read(hub: HubServer, folder: Path, *args: str, **kwargs: Any) -> Any:
    """Return the rows that `load_dataset` gives in another process."""
    code = (
        "import json, sys\nfrom datasets import load_dataset\nargs, kwargs = json.loads(sys.argv[1])\n"
        "print(json.dumps(list(load_dataset(*args, **kwargs))))"
    )
    command = [sys.executable, "-c", code, json.dumps([args, kwargs])]
    environment = _environment(hub, folder, HF_TOKEN="")
    ended = subprocess.run(command, env=environment, cwd=folder.parent, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_load_dataset_reads_from_the_hub_what_the_folder_holds(hub: HubServer, release: Path, paper: Path) -> None:
    assert (_publish(hub, release).returncode, _publish(hub, paper).returncode) == (0, 0)
    assert (_visible(hub), _visible(hub, "paper")) == (_files(release), _files(paper))
    rows = list(load_dataset(str(release), "oracle-fine-arith", split="train"))
    assert len(rows) == 20
    for more in ({}, {"streaming": True}, {"revision": "paper"}, {"revision": "v0.1.0"}):
        assert _read(hub, release, REPO, "oracle-fine-arith", split="train", **more) == rows
    assert set(hub.repos[REPO].tags) == {"v0.1.0", "v0.1.0-paper"}


def test_a_second_publish_pushes_nothing(hub: HubServer, release: Path) -> None:
    first = _publish(hub, release)
    hub.requests.clear()
    second = _publish(hub, release)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert "nothing to do" in second.stderr
    assert _writes(hub.requests) == []
    assert hub.repos[REPO].find("v0.1.0").id == first.stdout.strip()


def test_a_new_version_with_fewer_configs_is_one_commit_that_deletes_the_others(hub: HubServer, release: Path) -> None:
    _publish(hub, release)
    before = _files(release)
    shutil.rmtree(release / "data/oracle-l6-arith")
    _restate(release, version="0.2.0")
    assert _publish(hub, release).returncode == 0
    assert _visible(hub) == _files(release)
    assert _commits(hub) == 2
    assert hub.files(REPO, "main")[".gitattributes"]
    assert _visible(hub, "v0.1.0") == before


def test_an_old_release_does_not_take_newer_rows_back(hub: HubServer, release: Path, tmp_path: Path) -> None:
    newer = _restate(Path(shutil.copytree(release, tmp_path / "newer")), version="0.2.0")
    for folder in (release, newer, release):
        assert _publish(hub, folder).returncode == 0
    assert _visible(hub) == _files(newer)


def test_a_dry_run_says_each_step_and_writes_nothing(hub: HubServer, release: Path, paper: Path) -> None:
    ended = _publish(hub, paper, "--dry-run")
    steps = [line.split("\t") for line in ended.stdout.splitlines()]
    assert steps[:2] == [["create", REPO], ["create", "paper"]]
    assert steps[2:-1] == [["add", path] for path in sorted(_files(paper))]
    assert steps[-1] == ["tag", "v0.1.0-paper"]
    assert hub.repos == {}

    _publish(hub, release)
    hub.requests.clear()
    shutil.rmtree(release / "data/answer-arith")
    (release / "notes.md").write_text("none")
    steps = [
        line.split("\t") for line in _publish(hub, _restate(release, version="0.2.0"), "--dry-run").stdout.splitlines()
    ]
    assert [verb for verb, _ in steps] == ["add", "replace", "replace", "delete", "tag"]
    assert [what for _, what in steps][:3] == ["notes.md", "audit.json", "release.json"]
    assert steps[3][1].startswith("data/answer-arith/train-")
    assert _writes(hub.requests) == []


def test_hidden_files_are_never_pushed(hub: HubServer, release: Path) -> None:
    expected = _files(release)
    for name in (".README.md.new", "data/.release.lock", ".cache/huggingface/x.json"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text("half")
    assert _publish(hub, release).returncode == 0
    assert _visible(hub) == expected


COMMIT, TAG = f"POST /api/datasets/{REPO}/commit/", f"POST /api/datasets/{REPO}/tag/"
OFTEN = 1000


@pytest.mark.parametrize(
    ("kind", "where", "times", "code", "said"),
    [
        ("drop", "PUT /lfs/", 1, 0, "[Retry 1/5]"),
        ("drop", "PUT /lfs/", OFTEN, 2, "gives no proper answer"),
        ("mute", COMMIT, 1, 2, "gives no proper answer"),
        ("mute", "POST /api/repos", 1, 2, "gives no proper answer"),
        ("429", "PUT /lfs/", 1, 0, "[Retry 1/5]"),
        ("429", COMMIT, 1, 2, "too many requests"),
        ("500", "PUT /lfs/", 1, 0, "[Retry 1/5]"),
        ("500", "POST /api/validate-yaml", 1, 2, "gives no proper answer"),
        ("500", COMMIT, OFTEN, 2, "gives no proper answer"),
        ("500", TAG, 1, 1, "not done: the tag v0.1.0"),
        ("stale", COMMIT, 1, 2, "somebody else committed meanwhile"),
    ],
)  # fmt: skip
def test_a_failure_shows_no_half_of_a_release_and_a_repeat_makes_it_whole(
    hub: HubServer, release: Path, kind: str, where: str, times: int, code: int, said: str
) -> None:
    hub.fail(kind, where, times)
    ended = _publish(hub, release)
    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr
    theirs = {"README.md": b"by hand"} if kind == "stale" else {}
    assert _visible(hub) in (theirs, _files(release))
    assert code == 0 or not hub.repos[REPO].tags

    hub.faults.clear()
    assert _publish(hub, release).returncode == 0
    assert _visible(hub) == _visible(hub, "v0.1.0") == _files(release)
    assert _commits(hub) == (2 if theirs else 1)


@pytest.mark.parametrize(("where", "whole"), [("PUT /lfs/", False), (COMMIT, False), (TAG, True)])
def test_a_kill_at_any_moment_shows_all_or_nothing_and_a_repeat_ends_it(
    hub: HubServer, release: Path, where: str, whole: bool
) -> None:
    _killed_at(hub, release, where, meanwhile=lambda: _refuse_to_build(release))
    assert _visible(hub) == (_files(release) if whole else {})
    assert not hub.repos[REPO].tags
    assert _publish(hub, release).returncode == 0
    assert _visible(hub) == _visible(hub, "v0.1.0") == _files(release)
    assert _commits(hub) == 1


def _killed_at(hub: HubServer, folder: Path, where: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    hub.fail("hang", where)
    command = [sys.executable, "-c", PUBLISH, str(folder), "--repo-id", REPO]
    with subprocess.Popen(command, env=_environment(hub, folder), stderr=subprocess.DEVNULL) as process:
        try:
            assert hub.reached.wait(60)
            meanwhile()
        finally:
            process.kill()
    hub.released.set()


def _refuse_to_build(folder: Path) -> None:
    """A folder that changed while it is pushed would become a release of two halves."""
    with pytest.raises(CotDistillError, match="Another process writes or publishes"):
        build(folder)


def test_a_new_branch_never_shows_the_rows_of_another_edition(hub: HubServer, release: Path, paper: Path) -> None:
    _publish(hub, release)
    _killed_at(hub, paper, f"{COMMIT}paper")
    assert _visible(hub, "paper") == {}
    assert _publish(hub, paper).returncode == 0
    assert (_visible(hub), _visible(hub, "paper")) == (_files(release), _files(paper))


def test_a_commit_of_somebody_else_is_not_overwritten(hub: HubServer, release: Path) -> None:
    _publish(hub, release)
    hub.fail("stale", COMMIT)
    assert _publish(hub, _restate(release, version="0.2.0")).returncode == 2
    assert _visible(hub) == _visible(hub, "v0.1.0") | {"README.md": b"by hand"}


def test_a_tag_that_names_other_files_is_refused_before_anything_is_written(hub: HubServer, release: Path) -> None:
    _publish(hub, release)
    before = _visible(hub)
    (release / "README.md").write_text("---\nlicense: apache-2.0\n---\nother")
    hub.requests.clear()
    ended = _publish(hub, release)
    assert ended.returncode == 2
    assert "v0.1.0 of eit/cot-distill names other files" in ended.stderr
    assert "raise the version" in ended.stderr
    assert _writes(hub.requests) == []
    assert _visible(hub) == before


def test_a_dataset_that_is_no_release_is_left_alone(hub: HubServer, release: Path) -> None:
    hub.add_repo(REPO, theirs := {"README.md": b"my thesis", "train.parquet": b"years of work"})
    ended = _publish(hub, release)
    assert ended.returncode == 2
    assert "holds something else than a release at `main`" in ended.stderr
    assert _visible(hub) == theirs


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HF_TOKEN": ""}, "run `hf auth login`"),
        ({"HF_TOKEN": "hf_unknownMustNeverBeSeen"}, "run `hf auth login`"),
        ({"HF_TOKEN": "hf_illegal\x0bMustNeverBeSeen"}, "gives no proper answer"),
        ({"HF_TOKEN": READ_TOKEN}, "use one that may write there"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "gives no proper answer"),
    ],
    ids=["no login", "unknown", "illegal", "reader", "offline", "no Hub"],
)
def test_what_the_hub_refuses_is_one_sentence_with_the_way_out(
    hub: HubServer, release: Path, changed: dict[str, str], said: str
) -> None:
    ended = _publish(hub, release, **changed)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert hub.repos == {}


def test_the_token_is_not_in_the_traceback_either(hub: HubServer, release: Path) -> None:
    code = "import sys, pathlib, cot_distill_datasets.hub as hub\nhub.publish(pathlib.Path(sys.argv[1]), 'eit/x')"
    environment = _environment(hub, release, HF_TOKEN="hf_illegal\x0bMustNeverBeSeen")
    command = [sys.executable, "-c", code, str(release)]
    ended = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert "CotDistillError: eit/x: the Hub gives no proper answer" in ended.stderr
    assert "MustNeverBeSeen" not in ended.stderr


def test_a_release_that_did_not_pass_its_audit_is_not_published(hub: HubServer, release: Path) -> None:
    (release / "audit.json").unlink()
    unaudited = _publish(hub, release)
    assert unaudited.returncode == 2 and f"run `cot-distill audit {release}` first" in unaudited.stderr
    (path,) = (release / "data/answer-arith").iterdir()
    path.write_bytes(b"other rows")
    assert audit(release).broken
    assert _publish(hub, release).returncode == 2
    assert hub.requests == []


def test_without_a_release_or_a_full_name_nothing_is_asked(hub: HubServer, release: Path, tmp_path: Path) -> None:
    assert "run `cot-distill build` first" in _publish(hub, tmp_path / "none").stderr
    assert "give USER/NAME" in _publish(hub, release, "--repo-id", "cot-distill").stderr
    assert hub.requests == []


def test_the_small_hub_serves_other_datasets_too(hub: HubServer, built: Path, tmp_path: Path) -> None:
    (data,) = (built / "data/eval-arith").iterdir()
    card = b"---\nconfigs:\n- config_name: main\n  data_files:\n  - split: test\n    path: main/test-*\n---\n"
    hub.add_repo("openai/gsm8k", {"README.md": card, "main/test-0.parquet": data.read_bytes()})
    assert len(_read(hub, tmp_path / "x", "openai/gsm8k", "main", split="test")) == 500
