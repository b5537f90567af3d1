"""The explorer in a real browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from browser import Browser
from explored import EVIL, SHOWN, read_rows, write_results
from support import ROOT, alter_rows, build_questions

from cot_distill_datasets.names import RELEASE_NAME


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium"),
]
TEXT = "document.querySelector('#question .page').innerText"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release and a student, in which the texts about one question are hostile."""
    folder = build_questions(tmp_path_factory.mktemp("explored"), 30)
    for config in ("answer-arith", "oracle-l1-arith", "oracle-l3-arith"):
        alter_rows(folder / RELEASE_NAME, config, lambda rows: rows[3].update(question=f"Evil {EVIL}", rationale=EVIL))
    row = read_rows(folder / RELEASE_NAME, "oracle-l1-arith")[3]
    write_results(folder / "runs/student", [row], {0: f"Said {EVIL}"})
    return folder


@contextmanager
def _serve(folder: Path, *command: str | Path) -> Iterator[str]:
    """Run Python in `folder` and yield the address that it prints."""
    environment = os.environ | {"http_proxy": "http://127.0.0.1:9"}  # a proxy that is down
    with subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr
            line = server.stderr.readline().decode()
            assert " is at http://127.0.0.1:" in line, line
            yield line.partition(" is at ")[2].partition(". Ctrl+C")[0]
        finally:
            server.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    """The address of `cot-distill explore`."""
    study = ROOT / "docs/results/arith"
    with _serve(
        project, "-m", "cot_distill_datasets.cli", "explore", "--students", "runs", "--studies", study
    ) as address:
        yield address


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_searches_and_clicks_without_an_error_or_a_request_elsewhere(
    url: str, tmp_path: Path, width: int
) -> None:
    with Browser(tmp_path, width) as browser:
        browser.open(url)
        browser.wait("document.querySelectorAll('#question .card').length > 5")
        browser.wait("document.querySelector('.questions input:checked')")
        first = json.dumps(browser.run(TEXT))
        browser.run("document.querySelectorAll('.questions input')[5].click()")
        browser.wait(f"{TEXT} != {first}")
        browser.run("document.querySelector('#search textarea, #search input').focus()")
        browser.send("Input.insertText", text="evil")
        browser.wait("document.querySelectorAll('.questions input').length == 1")
        for text in (f"Evil {SHOWN}", f"Said {SHOWN}"):
            browser.wait(f"{TEXT}.includes({json.dumps(text)})")
        assert not browser.run("document.querySelector('#question script, #question img, .questions img')")
        for tab, content in enumerate(("#question .card", "#levels tr", "#outcomes tr")):
            browser.run(f"document.querySelectorAll('[role=tab]')[{tab}].click()")
            browser.wait(f"document.querySelector('{content}')?.offsetHeight")
            assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert browser.log == []
        assert {request for request in browser.requests if not request.startswith((url, "data:"))} == set()


def test_the_space_serves_the_same_page(project: Path) -> None:
    with _serve(project, ROOT / "cards/explorer/app.py") as url, urlopen(url) as page:
        assert "cot-distill explorer" in page.read().decode()


def test_the_explorer_imports_no_library_of_training_or_evaluation() -> None:
    others = {"torch", "transformers", "lm_eval", "scipy"}
    code = f"import sys, cot_distill_datasets.explorer.app; print({others} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
