"""The page of a study: its Markdown and HTML have the same facts, and text in them stays text."""

import html
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from known_study import facts, make_plan, report, table_rows
from outcomes import answer_rows, first_correct

from cot_distill_datasets.studies.page import render_html
from cot_distill_datasets.studies.plan import Plan
from cot_distill_datasets.studies.records import write_record
from cot_distill_datasets.studies.report import write_study_report
from cot_distill_datasets.training.progress import LOSS_LOG


EVIL = """<script>alert(1)<img src=x onerror=alert(1)> `` $x$ | **a** |
| b | \x1b[31m [x](https:evil.example) ![y](https:evil.example) <https:evil.example> "onload="alert(1)"""
NAME = "<script>`$x$`|**b**\n\x1b[31m"
SHOWN = EVIL.replace("\x1b", r"\x1b")  # in a block of text
TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "ul", "li", "strong", "em", "code", "pre",
    "div", "span", "table", "thead", "tbody", "tr", "th", "td", "svg", "defs", "g", "path", "use", "text", "clippath",
    "rect",
}  # fmt: skip


class _Page(HTMLParser):
    """The tags, attributes and rows of an HTML page, and the text of its blocks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.blocks: list[str] = []
        self._open: list[str] = []  # the row or the blocks whose last text is being read
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td", "pre"):
            self._open = self.blocks if tag == "pre" else self.rows[-1]
            self._open.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td", "pre"):
            self._open = [""]

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1] += data


def _page(plan: Plan) -> _Page:
    return _Page((plan.folder / "report.html").read_text(encoding="utf-8"))


def _cells(markdown: str) -> list[str]:
    """Return the text of all cells of the tables of a Markdown page."""
    lines = [line for line in markdown.splitlines() if line[:1] == "|" and not line.startswith("|---")]
    return [cell.strip().replace("`", "") for line in lines for cell in line.strip("|").split("|")]


def test_the_html_has_every_cell_of_every_table_of_the_markdown(tmp_path: Path) -> None:
    arms = {"oracle-l1-arith": first_correct(50, 60), "oracle-l3-arith": first_correct(50, 60, 70)}
    plan = make_plan(tmp_path, arms | {"oracle-l2-arith": first_correct(20, 20)})
    markdown = report(plan)
    assert [cell for row in _page(plan).rows for cell in row] == _cells(markdown)
    assert "55.0%" in _cells(markdown)


def test_the_html_is_one_file_with_every_figure_in_it(tmp_path: Path) -> None:
    arms = dict.fromkeys(["oracle-l1-arith", "oracle-l2-arith", "oracle-l3-arith", "oracle-l3-rar-arith"])
    plan = make_plan(tmp_path, dict.fromkeys(arms, first_correct(50, 60, 70)))
    figures = re.findall(r"!\[.*\]\((.*)\.png\)", report(plan))
    assert figures == ["granularity-cot_arith", "scores", "differences", "losses-demo-arith"]
    assert all((plan.folder / f"{name}{end}").is_file() for name in figures for end in (".png", ".svg"))
    page = _page(plan)
    assert page.tags.count("svg") == 4 and {*page.tags} <= TAGS
    sources = {value for name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "data")}
    assert {str(value)[0] for value in sources} == {"#"}
    policy = dict(page.attributes)["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    for name, number in {
        "scores": "60.0%  (n = 100)",
        "differences": "within ±5 points",
        "losses-demo-arith": "0.1",
    }.items():
        assert f">{number}<" in (plan.folder / f"{name}.svg").read_text(encoding="utf-8")


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)})
    files = []
    for _ in range(2):
        report(plan)
        files.append({path.name: path.read_bytes() for path in plan.folder.iterdir() if path.is_file()})
    assert files[0] == files[1]


def test_the_text_of_models_names_and_errors_is_shown_as_text(tmp_path: Path) -> None:
    answer = f"{EVIL}\n```\n</code></pre><img src=x onerror=alert(1)>"
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)}, student=NAME, answer=answer)
    plan = replace(plan, study=replace(plan.study, name=NAME))
    plan.missing[NAME] = EVIL
    plan.warnings.append(EVIL)
    table = write_study_report(plan)
    markdown = (plan.folder / "report.md").read_text(encoding="utf-8")
    page = _page(plan)
    assert "\x1b" not in table + markdown + (plan.folder / "report.html").read_text(encoding="utf-8")
    assert {*page.tags} <= TAGS and not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.blocks[1] == SHOWN + "\n'''\n</code></pre><img src=x onerror=alert(1)>\n"
    name = r"<script>'$x$'|**b** \x1b[31m"
    assert [row[:3] for row in page.rows if len(row) == 6][2] == [
        f"{name}.untrained.4shot.arith",
        "cot_arith",
        "10.0%",
    ]
    assert len({line.count("|") for line in table.splitlines()}) == 1
    for figure in plan.folder.glob("*.svg"):
        assert {*_Page(figure.read_text(encoding="utf-8")).tags} <= TAGS | {"metadata"}


def test_html_and_links_of_a_markdown_page_are_text(tmp_path: Path) -> None:
    page = render_html(EVIL, f"- {EVIL}\n\n[a]: https:evil.example\n\n![b][a] [c][a]\n", {})
    tags = _Page(page).tags
    assert tags.count("title") == 1 and {*tags} <= TAGS
    assert "&lt;script&gt;alert(1)" in page and 'href="https' not in page


def test_each_record_has_the_commands_that_train_and_evaluate_its_cell(tmp_path: Path) -> None:
    rows = report(make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)}))
    (row,) = table_rows(rows, "`demo.oracle-l1-arith.seed2`")
    assert row == [
        "`demo.oracle-l1-arith.seed2`", "`cot_arith`", "60.0%", "0.0500", "60.0",
        "`cot-distill train --config demo --seed 2` `cot-distill evaluate runs/cells/key3`",
    ]  # fmt: skip
    (row,) = table_rows(rows, "`demo.untrained.4shot.arith`")
    assert row[2:] == ["10.0%", "–", "–", "–"]  # `cot-distill evaluate` has no exemplars


def test_a_record_without_losses_has_those_of_its_student_while_its_folder_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = make_plan(tmp_path, {"oracle-l1-arith": first_correct(50, 60)})
    for planned in plan.cells[2:4]:
        older = {name: fact for name, fact in facts(planned, "").items() if name not in ("losses", "first")}
        write_record(plan.record(planned, "cot_arith"), answer_rows(first_correct(50)[0]), older)
    page = report(plan)
    assert "2 of 2 students have no learning curve" in page and not list(plan.folder.glob("losses*"))
    plan.cells[2].student.mkdir(parents=True)
    (plan.cells[2].student / LOSS_LOG).write_text('{"loss": 3.5, "step": 1}\n{"train_loss": 2.0, "step": 1}\n')
    page = report(plan)
    assert "1 of 2 students have no learning curve" in page and (plan.folder / "losses-demo-arith.svg").is_file()


def test_the_numbers_of_the_paper_are_beside_those_of_the_same_student_teacher_and_benchmark(tmp_path: Path) -> None:
    arms = {"gpt4o-l3-gsm8k": first_correct(30, 40), "gemini-l3-gsm8k": first_correct(50, 50)}
    (row,) = table_rows(report(make_plan(tmp_path / "same", arms, student="bloom-3b")), "23.8%")
    assert row[:4] == ["`bloom-3b` on `cot_gsm8k`", "`gpt4o-l3-gsm8k`", "23.8%", "35.0%"]
    others = (
        make_plan(tmp_path / "student", arms),
        make_plan(tmp_path / "benchmark", {"gpt4o-l3-svamp": first_correct(30)}, student="bloom-3b"),
    )
    assert ["Numbers of the paper" in report(plan) for plan in others] == [False, False]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_errors_and_without_scrolling_sideways(tmp_path: Path, width: int) -> None:
    levels = [f"oracle-l{level}-arith" for level in range(1, 7)]
    plan = make_plan(tmp_path, dict.fromkeys(levels, first_correct(50, 60, 70)), answer=EVIL)
    report(plan)
    _, log = _browse(tmp_path, plan.folder / "report.html")
    assert "CONSOLE" not in log
    # The page runs nothing, so a copy without its policy is measured, in a frame: a window has at least 500 pixels.
    page = (plan.folder / "report.html").read_text(encoding="utf-8")
    measure = "<script>parent.document.title = document.documentElement.scrollWidth</script></body>"
    copy = html.escape(re.sub("<meta http-equiv[^>]*>", "", page).replace("</body>", measure))
    frame = f'<title></title><iframe width="{width}" height="99999" frameborder="0" srcdoc="{copy}"></iframe>'
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    dom, _ = _browse(tmp_path, tmp_path / "frame.html")
    assert f"<title>{width}</title>" in dom


def _browse(folder: Path, page: Path) -> tuple[str, str]:
    """Return the page after it was shown, and what the browser logged."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(["chromium", *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr
