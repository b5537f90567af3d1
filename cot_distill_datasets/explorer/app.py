"""The explorer: a local page with the CoT of every question, the lengths of the levels, and the outcomes of studies.

It sends nothing and loads nothing from elsewhere: no analytics, no share link, fonts of the system.
"""

import os
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any


os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read while gradio is imported

import gradio as gr

from ..errors import CotDistillError
from ..messages import message
from ..names import EVAL_PREFIX
from .answers import find_samples
from .pages import CSS, note
from .rows import Corpus
from .views import SHOW, Explorer


def explore(release: Path | None, students: Sequence[Path], studies: Sequence[Path]) -> None:
    """Serve the explorer on this machine until it is interrupted.

    Raises CotDistillError if there is no release, a folder of students has no results, or a study no outcomes.
    """
    blocks = make_blocks(Explorer(Corpus.open(release), find_samples(students), studies))
    proxies = [os.environ.get("no_proxy", ""), "127.0.0.1", "localhost"]
    os.environ["no_proxy"] = ",".join(filter(None, proxies))  # gradio asks its own server whether it runs
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    blocks.launch(
        prevent_thread_lock=True, quiet=True, share=False, ssr_mode=False, run_history=False, mcp_server=False,
        pwa=False, footer_links=[], css=CSS, theme=theme,
    )  # fmt: skip
    message(f"The explorer is at {blocks.local_url}. Ctrl+C stops it.")
    threading.Event().wait()


def _shown(page: Callable[..., Any], failed: Callable[[str], Any] = lambda text: text) -> Callable[..., Any]:
    """Return the function of a control, which shows an error of the user's files as a page."""

    @wraps(page)
    def show(*values: Any) -> Any:
        try:
            return page(*values)
        except CotDistillError as error:
            return failed(note(error))

    return show


def make_blocks(explorer: Explorer) -> gr.Blocks:
    """Return the page."""
    blocks = gr.Blocks(title="cot-distill explorer", analytics_enabled=False, fill_width=True)
    with blocks:
        with gr.Tab("Questions"):
            _add_questions(explorer, blocks)
        with gr.Tab("Levels"):
            _add_levels(explorer, blocks)
        if explorer.studies:
            with gr.Tab("Studies"):
                _add_studies(explorer, blocks)
    return blocks


def _add_questions(explorer: Explorer, blocks: Any) -> None:
    parts = list(explorer.corpus.parts)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            part = gr.Dropdown([(_part_label(name), name) for name in parts], value=parts[0], label="Benchmark")
            hint = "words of the question, or an id"
            search = gr.Textbox("", label="Search", placeholder=hint, max_lines=1, elem_id="search")
            show = gr.Radio([(label, name) for name, label in SHOW.items()], value="all", label="Show")
            questions = gr.Radio([], label="Questions", elem_classes="questions")
        with gr.Column(scale=3, min_width=300):
            page = gr.HTML("", apply_default_css=False, elem_id="question")

    def find(part: str, search: str, show: str) -> tuple[Any, str]:
        count, found = explorer.find(part, search, show)
        first = found[0][1] if found else None
        return gr.Radio(found, value=first, label=count), explorer.question(part, first)

    controls: list[Any] = [part, search, show]
    triggers = [blocks.load, part.input, search.change, show.input]
    shown = _shown(find, lambda text: (gr.Radio([], value=None, label="Questions"), text))
    _connect(triggers, shown, controls, [questions, page])
    _connect([questions.input], _shown(explorer.question), [part, questions], [page])


def _part_label(part: str) -> str:
    is_test = part.startswith(f"{EVAL_PREFIX}-")
    return f"{part.removeprefix(f'{EVAL_PREFIX}-')}, {'test' if is_test else 'training'}"


def _add_levels(explorer: Explorer, blocks: Any) -> None:
    parts = [name for name in explorer.corpus.parts if not name.startswith(f"{EVAL_PREFIX}-")]
    part = gr.Dropdown(parts, value=parts[0], label="Benchmark")
    page = gr.HTML("", apply_default_css=False, elem_id="levels")
    _connect([blocks.load, part.input], _shown(explorer.levels), [part], [page])


def _add_studies(explorer: Explorer, blocks: Any) -> None:
    names = list(explorer.studies)
    places = explorer.places(names[0])
    with gr.Row():
        study = gr.Dropdown(names, value=names[0], label="Study", min_width=300)
        place = gr.Dropdown(places, value=places[0], label="Student and task", min_width=300)
    arms = gr.HTML("", apply_default_css=False, elem_id="arms")
    search = gr.Textbox("", label="Search the test questions, hardest first", max_lines=1)
    questions = gr.HTML("", apply_default_css=False, elem_id="outcomes")

    def choose(name: str, search: str) -> tuple[Any, str, str]:
        places = explorer.places(name)
        return gr.Dropdown(places, value=places[0]), *explorer.study(name, places[0], search)

    chosen = _shown(choose, lambda text: (gr.Dropdown(), text, ""))  # the release has the texts of the questions
    _connect([study.input], chosen, [study, search], [place, arms, questions])
    shown = _shown(explorer.study, lambda text: (text, ""))
    _connect([blocks.load, place.input, search.change], shown, [study, place, search], [arms, questions])


def _connect(triggers: list[Any], function: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Call a function at each trigger; while it runs, only the last trigger waits."""
    gr.on(
        triggers, function, inputs, outputs,
        trigger_mode="always_last", show_progress="hidden", queue=False, api_visibility="private",
    )  # fmt: skip
