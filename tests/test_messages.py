"""Progress bars appear in a terminal only, and the warnings that are hidden are hidden by their text."""

import io
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

import datasets
import huggingface_hub.utils
import pytest
import tqdm
import tqdm.auto
import transformers

from cot_distill_datasets.messages import count, progress, quiet_libraries


class Stream(io.StringIO):
    """Stands in for stderr, as a terminal or as a file."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


Bar = Callable[[Iterable[int]], Any]
BARS: dict[str, Bar] = {
    "tqdm": lambda items: tqdm.tqdm(items),
    "tqdm.auto": lambda items: tqdm.auto.tqdm(items, disable=False),  # as lm_eval and vLLM do
    "datasets": lambda items: datasets.utils.tqdm(items),
    "transformers": lambda items: transformers.logging.tqdm(items),
    "huggingface_hub": lambda items: huggingface_hub.utils.tqdm(items),
}


def _replace_stderr(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> Stream:
    """Replace stderr, call `quiet_libraries`, and undo both after the test."""
    stream = Stream(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(tqdm.tqdm, "__init__", tqdm.tqdm.__init__)
    quiet_libraries()
    return stream


@pytest.mark.parametrize("library", BARS)
def test_a_library_shows_its_bar_in_a_terminal_only(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _replace_stderr(monkeypatch, terminal=True)
    assert list(BARS[library]([1, 2, 3])) == [1, 2, 3] and "3/3" in terminal.getvalue()
    file = _replace_stderr(monkeypatch, terminal=False)
    assert list(BARS[library]([1, 2, 3])) == [1, 2, 3] and file.getvalue() == ""


def test_a_bar_that_is_not_shown_measures_the_time_which_vllm_divides_by(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = _replace_stderr(monkeypatch, terminal=False)
    with tqdm.tqdm(total=1, dynamic_ncols=True) as bar:
        assert 1 / bar.format_dict["elapsed"] > 0
        bar.update(1)
    assert stderr.getvalue() == ""


def test_a_stage_of_ours_is_one_line_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = _replace_stderr(monkeypatch, terminal=False)
    assert list(progress([1, 2, 3], "Writing configs")) == [1, 2, 3]
    assert stderr.getvalue() == "Writing configs: 3\n"


def test_only_named_warnings_of_a_library_are_hidden(caplog: pytest.LogCaptureFixture) -> None:
    quiet_libraries()
    logger = logging.getLogger("lm_eval.api.task")
    logger.warning("cot_arith: Custom kwargs can be passed to `--metadata` in console (as json string) or …")
    logger.warning("cot_arith: something that matters")
    assert caplog.messages == ["cot_arith: something that matters"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 cells"), (1, "1 cell"), (1200, "1,200 cells")])
def test_a_count_is_in_the_singular_for_1_only(number: int, text: str) -> None:
    assert count(number, "cell") == text
