"""A Hub that gives no proper answer, or none at all: every command ends in seconds, and nothing is half-published."""

import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hub_server import HubServer
from support import folder_files

from cot_distill_datasets.cli import main
from cot_distill_datasets.release.publish import publish


REPO = "eit/cot-distill"
COMMIT, TAG = f"POST /api/datasets/{REPO}/commit/", f"POST /api/datasets/{REPO}/tag/"
ALWAYS = 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    "request_start",
    [
        f"GET /api/datasets/{REPO}/refs", f"GET /api/datasets/{REPO}/commits/", f"GET /api/datasets/{REPO}/tree/",
        "POST /api/repos/create", f"POST /api/datasets/{REPO}/branch/", "POST /api/validate-yaml",
        f"POST /api/datasets/{REPO}/preupload/", f"POST /datasets/{REPO}.git/info/lfs/objects/batch", "PUT /lfs/",
        "POST /api/lfs/", COMMIT, TAG,
    ],
)  # fmt: skip
def test_after_an_answer_of_another_shape_all_files_are_visible_or_none_and_a_repeat_finishes(
    client: HubServer, release: Path, paper: Path, request_start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on_branch = "/branch/" in request_start or "/tree/" in request_start  # a new repo needs neither
    folder, revision, tag = (paper, "paper", "v0.1.0-paper") if on_branch else (release, "main", "v0.1.0")
    if on_branch:
        publish(release, REPO)
    before = deepcopy((client.repos, client.blobs))
    for answer in ("{}", "[]", "null", '"ok"'):
        client.repos, client.blobs = deepcopy(before)
        client.requests.clear()
        client.fail(answer, request_start, ALWAYS)
        code = main(["publish", str(folder), "--repo-id", REPO])
        message = capsys.readouterr().err
        assert any(request.startswith(request_start) for request in client.requests)
        outcome = (code, client.visible(REPO, revision), bool(client.visible(REPO, tag)))
        files = folder_files(folder)
        assert outcome in [(0, files, True), (1, files, False), (2, {}, False)], message
        assert code == 0 or REPO in message
        client.faults.clear()
    assert main(["publish", str(folder), "--repo-id", REPO]) == 0
    assert client.visible(REPO, revision) == client.visible(REPO, tag) == folder_files(folder)


def test_a_hub_that_redirects_for_ever_gives_no_proper_answer(
    client: HubServer, release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for status in ("301", "302", "303", "307", "308"):
        client.fail(status, f"GET /api/datasets/{REPO}/refs", ALWAYS)
        assert main(["publish", str(release), "--repo-id", REPO]) == 2
        assert f"{REPO}: no proper answer" in capsys.readouterr().err
        client.faults.clear()
    assert client.repos == {}


@pytest.mark.parametrize(
    ("request_start", "code"),
    [(f"GET /api/datasets/{REPO}/refs", 2), ("POST /api/repos/", 2), ("PUT /lfs/", 2), (COMMIT, 2), (TAG, 1)],
)
def test_a_hub_that_never_answers_is_named_in_seconds(
    client: HubServer,
    release: Path,
    request_start: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cot_distill_datasets.hub._SECONDS", 0.25)
    client.fail("hang", request_start, ALWAYS)
    started = time.monotonic()
    assert main(["publish", str(release), "--repo-id", REPO]) == code
    assert time.monotonic() - started < 10
    assert f"{urlsplit(client.url).netloc} does not answer" in capsys.readouterr().err
    assert client.visible(REPO) == (folder_files(release) if request_start == TAG else {})


@pytest.mark.slow
def test_whatever_is_read_from_a_hub_that_never_answers_ends_in_seconds(hub: HubServer, tmp_path: Path) -> None:
    calls = [
        "data.load_rows('gpt4o-l1-svamp')",
        "models.load_tokenizer(SimpleNamespace(model_name_or_path='org/base', model_revision=None), None)",
        "read_test_splits(['gsm8k', 'aqua', 'math500'], None, None, hub=True)",
    ]
    program = (
        "import sys, time; from types import SimpleNamespace; from transformers import AutoTokenizer\n"
        "from cot_distill_datasets.errors import CotDistillError; from cot_distill_datasets.hub import _Client\n"
        "from cot_distill_datasets.sources.test_splits import read_test_splits\n"
        "from cot_distill_datasets.training import data, models\n"
        "for call in sys.argv[1:]:\n"
        "    _Client.silent_until.clear()\n"
        "    started, message = time.monotonic(), ''\n"
        "    try: eval(call)\n"
        "    except CotDistillError as error: message = str(error)\n"
        "    print(time.monotonic() - started, message)"
    )
    hub.fail("hang", "", ALWAYS)
    environment = hub.environment(tmp_path / "home", HF_HUB_DOWNLOAD_TIMEOUT="1")
    command = [sys.executable, "-c", program, *calls]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=300)
    seconds, messages = zip(*(line.split(" ", 1) for line in ended.stdout.splitlines()))
    assert max(map(float, seconds)) < 10, ended.stderr
    assert [name in message for name, message in zip(("gpt4o-l1-svamp", "org/base", ""), messages)] == [True] * 3
    assert messages[2] == ""  # a test split that cannot be downloaded is named by `build`
