"""A published release is what `load_dataset` reads, whatever fails on the way. `HubServer` stands in for the Hub."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from hub_server import READ_TOKEN, HubServer
from support import change_index, folder_files

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.cli import main
from cot_distill_datasets.release.audit import audit
from cot_distill_datasets.release.build import build
from cot_distill_datasets.release.publish import publish


REPO = "eit/cot-distill"
COMMIT, TAG = f"POST /api/datasets/{REPO}/commit/", f"POST /api/datasets/{REPO}/tag/"
ALWAYS = 1000
# The real command, with shorter waits between the client's retries.
PUBLISH = (
    "import sys, time\nwait = time.sleep\ntime.sleep = lambda seconds: wait(seconds / 100)\n"
    "from cot_distill_datasets.cli import main\nsys.exit(main(['publish', *sys.argv[1:]]))"
)


def _publish(hub: HubServer, folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command. Its output must never contain a token or a traceback."""
    command = [sys.executable, "-c", PUBLISH, str(folder), "--repo-id", REPO, *more]
    variables = hub.environment(folder.parent / "home", **environment)
    ended = subprocess.run(command, env=variables, cwd=folder.parent, text=True, capture_output=True)
    output = ended.stdout + ended.stderr
    assert "MustNeverBeSeen" not in output
    assert "Traceback" not in output
    return ended


def _steps(ended: subprocess.CompletedProcess[str]) -> list[list[str]]:
    return [line.split("\t") for line in ended.stdout.splitlines()]


def _commits(hub: HubServer, revision: str = "main") -> int:
    return len(hub.repos[REPO].find(revision).parents)  # without the Hub's own first commit


def _writes(hub: HubServer) -> list[str]:
    return [request for request in hub.requests if not request.startswith(("GET", "HEAD"))]


def _load(hub: HubServer, folder: Path, *calls: dict[str, Any]) -> Any:
    """Return the rows that each call of `load_dataset` reads from the Hub, without a token."""
    code = (
        "import json, sys\nfrom datasets import load_dataset\n"
        "print(json.dumps([list(load_dataset(sys.argv[1], **call)) for call in json.loads(sys.argv[2])]))"
    )
    command = [sys.executable, "-c", code, REPO, json.dumps(calls)]
    environment = hub.environment(folder.parent / "home", HF_TOKEN="")
    ended = subprocess.run(command, env=environment, cwd=folder.parent, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.slow
def test_load_dataset_reads_the_published_rows(hub: HubServer, release: Path, paper: Path) -> None:
    assert (_publish(hub, release).returncode, _publish(hub, paper).returncode) == (0, 0)
    assert (hub.visible(REPO), hub.visible(REPO, "paper")) == (folder_files(release), folder_files(paper))
    rows = list(load_dataset(str(release), "oracle-fine-arith", split="train"))
    assert len(rows) == 20
    call = {"name": "oracle-fine-arith", "split": "train"}
    calls = [call | more for more in ({}, {"streaming": True}, {"revision": "paper"}, {"revision": "v0.1.0"})]
    assert _load(hub, release, *calls) == [rows] * 4
    assert set(hub.repos[REPO].tags) == {"v0.1.0", "v0.1.0-paper"}


@pytest.mark.slow
def test_a_second_publish_writes_nothing(hub: HubServer, release: Path) -> None:
    first = _publish(hub, release)
    hub.requests.clear()
    second = _publish(hub, release)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert "nothing to do" in second.stderr
    assert _writes(hub) == []
    assert hub.repos[REPO].find("v0.1.0").id == first.stdout.strip()


@pytest.mark.slow
def test_a_new_version_is_one_commit_that_deletes_the_dropped_configs(hub: HubServer, release: Path) -> None:
    _publish(hub, release)
    before = folder_files(release)
    shutil.rmtree(release / "data/oracle-l6-arith")
    change_index(release, version="0.2.0")
    assert _publish(hub, release).returncode == 0
    assert hub.visible(REPO) == folder_files(release)
    assert _commits(hub) == 2
    assert hub.files(REPO, "main")[".gitattributes"]
    assert hub.visible(REPO, "v0.1.0") == before


@pytest.mark.slow
def test_publishing_an_old_release_again_keeps_the_newer_files(hub: HubServer, release: Path, tmp_path: Path) -> None:
    newer = change_index(Path(shutil.copytree(release, tmp_path / "newer")), version="0.2.0")
    for folder in (release, newer, release):
        assert _publish(hub, folder).returncode == 0
    assert hub.visible(REPO) == folder_files(newer)


@pytest.mark.slow
def test_a_dry_run_lists_each_step_and_writes_nothing(hub: HubServer, release: Path, paper: Path) -> None:
    steps = _steps(_publish(hub, paper, "--dry-run"))
    assert steps[:2] == [["create", REPO], ["create", "paper"]]
    assert steps[2:-1] == [["add", path] for path in sorted(folder_files(paper))]
    assert steps[-1] == ["tag", "v0.1.0-paper"]
    assert hub.repos == {}

    _publish(hub, release)
    hub.requests.clear()
    shutil.rmtree(release / "data/answer-arith")
    (release / "notes.md").write_text("a note")
    steps = _steps(_publish(hub, change_index(release, version="0.2.0"), "--dry-run"))
    assert [verb for verb, _ in steps] == ["add", "replace", "replace", "delete", "tag"]
    assert [name for _, name in steps][:3] == ["notes.md", "audit.json", "release.json"]
    assert steps[3][1].startswith("data/answer-arith/train-")
    assert _writes(hub) == []


@pytest.mark.slow
def test_hidden_files_are_not_published(hub: HubServer, release: Path) -> None:
    expected = folder_files(release)
    for name in (".README.md.new", "data/.release.lock", ".cache/huggingface/x.json"):
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_text("half")
    assert _publish(hub, release).returncode == 0
    assert hub.visible(REPO) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "request_start", "times", "code", "named"),
    [
        ("drop", "PUT /lfs/", 1, 0, "[Retry 1/5]"),
        ("drop", "PUT /lfs/", ALWAYS, 2, "no proper answer"),
        ("mute", COMMIT, 1, 2, "no proper answer"),
        ("mute", "POST /api/repos", 1, 2, "no proper answer"),
        ("429", "PUT /lfs/", 1, 0, "[Retry 1/5]"),
        ("429", COMMIT, 1, 2, "too many requests"),
        ("500", "PUT /lfs/", 1, 0, "[Retry 1/5]"),
        ("500", "POST /api/validate-yaml", 1, 2, "no proper answer"),
        ("500", COMMIT, ALWAYS, 2, "no proper answer"),
        ("500", TAG, 1, 1, "the tag v0.1.0"),
        ("stale", COMMIT, 1, 2, "another commit"),
    ],
)  # fmt: skip
def test_after_a_failure_all_files_are_visible_or_none_and_a_repeat_finishes(
    hub: HubServer, release: Path, kind: str, request_start: str, times: int, code: int, named: str
) -> None:
    hub.fail(kind, request_start, times)
    ended = _publish(hub, release)
    assert (ended.returncode, named in ended.stderr) == (code, True), ended.stderr
    foreign = {"README.md": b"by hand"} if kind == "stale" else {}
    assert hub.visible(REPO) in (foreign, folder_files(release))
    assert code == 0 or not hub.repos[REPO].tags

    hub.faults.clear()
    assert _publish(hub, release).returncode == 0
    assert hub.visible(REPO) == hub.visible(REPO, "v0.1.0") == folder_files(release)
    assert _commits(hub) == (2 if foreign else 1)


@pytest.mark.slow
@pytest.mark.parametrize(("request_start", "complete"), [("PUT /lfs/", False), (COMMIT, False), (TAG, True)])
def test_after_a_kill_all_files_are_visible_or_none_and_a_repeat_finishes(
    hub: HubServer, release: Path, request_start: str, complete: bool
) -> None:
    def check_that_build_is_rejected() -> None:  # the Hub would show parts of two releases
        with pytest.raises(CotDistillError, match=str(release)):
            build(release)

    _kill_at(hub, release, request_start, meanwhile=check_that_build_is_rejected)
    assert hub.visible(REPO) == (folder_files(release) if complete else {})
    assert not hub.repos[REPO].tags
    assert _publish(hub, release).returncode == 0
    assert hub.visible(REPO) == hub.visible(REPO, "v0.1.0") == folder_files(release)
    assert _commits(hub) == 1


def _kill_at(hub: HubServer, folder: Path, request_start: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Kill the command in the middle of a request, after `meanwhile`."""
    hub.fail("hang", request_start)
    command = [sys.executable, "-c", PUBLISH, str(folder), "--repo-id", REPO]
    with subprocess.Popen(command, env=hub.environment(folder.parent / "home"), stderr=subprocess.DEVNULL) as process:
        try:
            assert hub.reached.wait(60)
            meanwhile()
        finally:
            process.kill()
    hub.released.set()


@pytest.mark.slow
def test_a_new_branch_never_shows_the_rows_of_another_edition(hub: HubServer, release: Path, paper: Path) -> None:
    _publish(hub, release)
    _kill_at(hub, paper, f"{COMMIT}paper")
    assert hub.visible(REPO, "paper") == {}
    assert _publish(hub, paper).returncode == 0
    assert (hub.visible(REPO), hub.visible(REPO, "paper")) == (folder_files(release), folder_files(paper))


@pytest.mark.slow
def test_a_commit_by_another_user_is_not_overwritten(hub: HubServer, release: Path) -> None:
    _publish(hub, release)
    hub.fail("stale", COMMIT)
    assert _publish(hub, change_index(release, version="0.2.0")).returncode == 2
    assert hub.visible(REPO) == hub.visible(REPO, "v0.1.0") | {"README.md": b"by hand"}


@pytest.mark.slow
def test_a_tag_with_other_files_is_rejected_before_any_write(hub: HubServer, release: Path) -> None:
    _publish(hub, release)
    before = hub.visible(REPO)
    (release / "README.md").write_text("---\nlicense: apache-2.0\n---\nother")
    hub.requests.clear()
    ended = _publish(hub, release)
    assert (ended.returncode, f"v0.1.0 of {REPO}" in ended.stderr) == (2, True)
    assert _writes(hub) == []
    assert hub.visible(REPO) == before


@pytest.mark.slow
def test_a_dataset_that_is_not_a_release_is_left_unchanged(hub: HubServer, release: Path) -> None:
    hub.add_repo(REPO, foreign := {"README.md": b"my thesis", "train.parquet": b"years of work"})
    ended = _publish(hub, release)
    assert ended.returncode == 2
    assert all(datum in ended.stderr for datum in (REPO, "`main`", "--repo-id"))
    assert hub.visible(REPO) == foreign


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"HF_TOKEN": ""}, "`hf auth login`"),
        ({"HF_TOKEN": "hf_unknownMustNeverBeSeen"}, "`hf auth login`"),
        ({"HF_TOKEN": "hf_illegal\x0bMustNeverBeSeen"}, "no proper answer"),
        ({"HF_TOKEN": READ_TOKEN}, "write access"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "no proper answer"),
    ],
    ids=["no token", "unknown token", "illegal token", "read token", "offline", "no Hub"],
)
def test_a_request_that_the_hub_rejects_is_one_line_with_a_way_out(
    hub: HubServer, release: Path, changes: dict[str, str], named: str
) -> None:
    ended = _publish(hub, release, **changes)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f"{REPO}: " in ended.stderr and named in ended.stderr
    assert hub.repos == {}


@pytest.mark.slow
def test_a_traceback_does_not_contain_the_token(hub: HubServer, release: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cot_distill_datasets.release.publish import publish\n"
        "publish(Path(sys.argv[1]), 'eit/x')"
    )
    environment = hub.environment(release.parent / "home", HF_TOKEN="hf_illegal\x0bMustNeverBeSeen")
    command = [sys.executable, "-c", code, str(release)]
    ended = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert "CotDistillError: eit/x: " in ended.stderr
    assert "MustNeverBeSeen" not in ended.stderr


# The next tests send no request: here HF_HUB_OFFLINE is set, and an error would name it.
def test_an_unaudited_release_is_not_published(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (release / "audit.json").unlink()
    assert main(["publish", str(release), "--repo-id", REPO]) == 2
    assert f"`cot-distill audit {release}`" in capsys.readouterr().err
    (path,) = (release / "data/answer-arith").iterdir()
    path.write_bytes(b"other rows")
    assert audit(release).broken
    with pytest.raises(CotDistillError, match=f"`cot-distill audit {release}`"):
        publish(release, REPO)


def test_a_missing_release_or_an_incomplete_repo_id_is_rejected(release: Path) -> None:
    with pytest.raises(CotDistillError, match="`cot-distill build`"):
        publish(release.parent / "missing", REPO)
    for repo_id in ("cot-distill", "eit/cot/distill", ""):
        with pytest.raises(CotDistillError, match=f"{repo_id!r}.* --repo-id"):
            publish(release, repo_id)
    assert os.listdir(release.parent) == ["release"]
