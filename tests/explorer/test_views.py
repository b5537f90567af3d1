"""The explorer's rows, answers and pages, without a browser."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from explored import EVIL, SHOWN, read_rows, write_results
from hub_server import HubServer
from support import ROOT, alter_rows, build_questions, folder_files

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.explorer.answers import OUTCOMES, find_samples, read_answers, read_study
from cot_distill_datasets.explorer.rows import Corpus, word_quantiles
from cot_distill_datasets.explorer.views import Explorer
from cot_distill_datasets.names import RELEASE_NAME
from cot_distill_datasets.release.folder import RELEASE_REVISION


class _Page(HTMLParser):
    """The tags, attributes, classes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of `arith` with 30 questions, in which two rows of a level are not as the solver wrote them."""
    folder = build_questions(tmp_path_factory.mktemp("release"), 30) / RELEASE_NAME

    def change(rows: list[dict[str, Any]]) -> None:
        rows[3] |= {"is_correct": False, "teacher_answer": EVIL, "rationale": EVIL, "question": EVIL}
        rows[4] |= {"flags": ["cut_text", EVIL], "rationale": "A long text. " * 200}

    alter_rows(folder, "oracle-l3-arith", change)
    return folder


def _explorer(release: Path, *students: Path) -> Explorer:
    return Explorer(Corpus.open(release), find_samples(students), [])


def test_the_questions_of_a_benchmark_are_listed_searched_and_filtered(release: Path) -> None:
    explorer, rows = _explorer(release), read_rows(release, "oracle-l1-arith")
    ids = [row["id"] for row in rows]
    assert list(explorer.corpus.parts) == ["arith", "eval-arith"]
    count, found = explorer.find("arith", "", "all")
    assert (count, {id_ for _, id_ in found}) == ("30 questions", set(ids))
    words = rows[7]["question"].split(".")[0]
    matches = {row["id"] for row in rows if words.casefold() in row["question"].casefold()}
    assert {id_ for _, id_ in explorer.find("arith", f" {words.upper()} ", "all")[1]} == matches
    assert [id_ for _, id_ in explorer.find("arith", ids[7], "all")[1]] == [ids[7]]
    assert [id_ for _, id_ in explorer.find("arith", "", "wrong")[1]] == [ids[3]]
    assert [id_ for _, id_ in explorer.find("arith", "", "flagged")[1]] == [ids[4]]
    assert explorer.find("arith", "", "longest")[1][0][1] == ids[4]
    assert explorer.find("arith", "no such words", "all") == ("0 questions", [])
    assert explorer.question("arith", None) == explorer.question("eval-arith", ids[0])  # the list of before


def test_a_question_has_one_card_for_each_config_with_its_words_steps_conclusion_and_flags(release: Path) -> None:
    ids = [row["id"] for row in read_rows(release, "oracle-l1-arith")]
    page = _Page(_explorer(release).question("arith", ids[4]))
    assert page.texts.count("l3") == 1 and {"l1", "l2", "l4", "l5", "l6", "l3 rar"} < {*page.texts}
    assert {"600 words", "200 steps", "cut_text"} < {*page.texts}
    assert f"{read_rows(release, 'oracle-l1-arith')[4]['answer']} ✓" in page.texts


def test_the_text_of_data_and_students_is_shown_as_text(release: Path, tmp_path: Path) -> None:
    tests = read_rows(release, "eval-arith")[:2]
    write_results(tmp_path / "<b>student", tests, {1: EVIL})
    explorer = _explorer(release, tmp_path)
    (id_,) = [id_ for _, id_ in explorer.find("arith", "", "wrong")[1]]
    for page, shown in (
        (_Page(explorer.question("arith", id_)), [SHOWN, f"{SHOWN} ✗"]),
        (_Page(explorer.question("eval-arith", tests[1]["id"])), [SHOWN, f"{tmp_path}/<b>student"]),
    ):
        assert {*shown} < {*page.texts}
        assert page.tags <= {"div", "section", "article", "header", "footer", "h3", "p", "pre", "b", "small", "span"}
        assert page.attributes <= {"class", "title"}


def test_test_questions_have_the_answers_of_the_students_beside_them(release: Path, tmp_path: Path) -> None:
    tests = read_rows(release, "eval-arith")[:20]
    write_results(tmp_path / "runs/good", tests, {})
    write_results(tmp_path / "runs/bad", tests, {2: "I do not know", 3: "It is " + "very " * 50})
    explorer = _explorer(release, tmp_path / "runs")
    assert explorer.find("eval-arith", "", "all")[0] == "500 questions, the first 100 shown"
    for show in ("wrong", "flagged"):
        assert [id_ for _, id_ in explorer.find("eval-arith", "", show)[1]] == [tests[2]["id"], tests[3]["id"]]
    assert explorer.find("eval-arith", "", "longest")[1][0][1] == tests[3]["id"]
    page = _Page(explorer.question("eval-arith", tests[2]["id"]))
    assert {"I do not know", "Students: 1 of 2 right", "7 tokens", "truncated", "wrong ✗", "right ✓"} < {*page.texts}


def test_the_results_with_the_most_questions_count_and_results_of_the_bare_command_are_read(
    release: Path, tmp_path: Path
) -> None:
    tests = read_rows(release, "eval-arith")[:3]
    write_results(tmp_path / "s", tests, {0: "full"})
    folder = write_results(tmp_path / "limited", tests[:1], {0: "limited"})
    samples = folder / "samples_cot_arith_2026.jsonl"
    line = json.loads(samples.read_text())
    samples.write_text(json.dumps({k: v for k, v in line.items() if k not in ("finish_reason", "output_tokens")}))
    shutil.move(folder, tmp_path / "s/results/later")
    answers = read_answers(find_samples([tmp_path / "s"]), "arith")
    assert [answer.text for answer in answers[tests[0]["id"]]] == ["full"] and len(answers) == 3
    shutil.rmtree(tmp_path / "s/results/cot_arith")
    ((answer,),) = read_answers(find_samples([tmp_path / "s"]), "arith").values()
    assert (answer.text, answer.tokens, answer.notes) == ("limited", 0, ())


def test_the_answers_to_a_question_set_of_the_users_own_are_shown(release: Path, tmp_path: Path) -> None:
    folder = write_results(tmp_path / "s", read_rows(release, "eval-arith")[:1], {})
    for path in folder.iterdir():
        written = path.rename(path.with_name(path.name.replace("cot_arith", "cot_shop")))
        written.write_text(written.read_text().replace("cot_arith", "cot_shop"))
    with pytest.raises(CotDistillError, match="no results"):  # of another package's task
        find_samples([tmp_path / "s"])
    evaluated = {"cot_distill": {"settings": {"student_sha256": ""}, "command": []}}
    results = folder / "results_2026.json"
    results.write_text(json.dumps(json.loads(results.read_text()) | evaluated))
    ((answer,),) = read_answers(find_samples([tmp_path / "s"]), "shop").values()
    assert (answer.task, answer.correct) == ("cot_shop", True)


def test_the_lengths_of_levels_are_quantiles_of_the_words_of_their_rationales(release: Path) -> None:
    quantiles = word_quantiles(Corpus.open(release).rows("arith"))
    words = sorted(len(row["rationale"].split()) for row in read_rows(release, "oracle-l5-arith"))
    assert quantiles["oracle-l5-arith"][2] == (words[14] + words[15]) / 2
    assert "answer-arith" not in quantiles and len(quantiles) == len(Corpus.open(release).parts["arith"]) - 1
    page = _Page(_explorer(release).levels("arith"))
    assert f"{quantiles['oracle-l5-arith'][2]:.0f}" in page.texts


def test_a_study_has_its_accuracies_and_its_hardest_questions(release: Path) -> None:
    folder = ROOT / "docs/results/arith"
    explorer = Explorer(Corpus.open(release), (), [folder])
    assert explorer.places(str(folder)) == [f"{s} on cot_arith" for s in ("demo", "demo-large", "demo-small")]
    arms, questions = explorer.study(str(folder), "demo on cot_arith", "")
    cell = (pc.field("student") == "demo") & (pc.field("config") == "oracle-l3-arith")
    own = pq.read_table(folder / OUTCOMES, filters=cell, columns=["id", "correct"]).to_pylist()
    shares = sum(row["correct"] for row in own) / len(own)
    assert {"oracle-l3-arith", f"{shares:.1%}", "untrained, 4 shots", "2,000"} < {*_Page(arms).texts}
    (test, *_) = read_rows(release, "eval-arith")
    _, questions = explorer.study(str(folder), "demo on cot_arith", test["id"])
    right = [row["correct"] for row in own if row["id"] == test["id"]]
    assert {test["question"], f"{sum(right)}/{len(right)}"} < {*_Page(questions).texts}


def test_an_arm_of_a_study_names_its_further_axes() -> None:
    arms = read_study(ROOT / "docs/results/smollm2-levels")["arm"].unique().to_pylist()
    assert {"gpt4o-l3-svamp", "gpt4o-l3-svamp, learning_rate=0.0005, lora_r=16, use_peft=True"} < {*arms}


def test_without_a_folder_the_hub_dataset_is_read_part_by_part(release: Path, hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo(RELEASE_NAME, folder_files(release))
    hub.repos[RELEASE_NAME].tags[RELEASE_REVISION] = hub.repos[RELEASE_NAME].branches["main"]
    code = (
        "from cot_distill_datasets.explorer.rows import Corpus\n"
        "corpus = Corpus.open()\n"
        "count = lambda: len(list(corpus.folder.rglob('*.parquet')))\n"
        "before, rows = count(), len(corpus.rows('eval-arith'))\n"
        "print(before, rows, count(), corpus.rows('arith')['id'].to_pylist())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], env=hub.environment(tmp_path), cwd=tmp_path, text=True, capture_output=True
    )
    ids = Corpus.open(release).rows("arith")["id"].to_pylist()
    assert process.stdout == f"0 500 1 {ids}\n", process.stderr


def test_what_cannot_be_read_is_one_sentence(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CotDistillError, match="--release"):
        Corpus.open()  # offline
    with pytest.raises(CotDistillError, match="cot-distill build"):
        Corpus.open(tmp_path)
    with pytest.raises(CotDistillError, match="cot-distill evaluate"):
        find_samples([tmp_path])
    with pytest.raises(CotDistillError, match="study report"):
        read_study(tmp_path)
    (tmp_path / OUTCOMES).write_bytes(b"PAR1")
    with pytest.raises(CotDistillError, match=OUTCOMES):
        read_study(tmp_path)
    copy = Path(shutil.copytree(release, tmp_path / "copy"))
    (path,) = (copy / "data/oracle-l4-arith").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CotDistillError, match=path.name):
        Corpus.open(copy).rows("arith")
    folder = write_results(tmp_path / "s", read_rows(release, "eval-arith")[:1], {})
    (folder / "samples_cot_arith_2026.jsonl").write_text("{}\n")
    with pytest.raises(CotDistillError, match="evaluate again"):
        read_answers(find_samples([tmp_path / "s"]), "arith")


def test_the_space_runs_the_tested_gradio() -> None:
    card = yaml.safe_load((ROOT / "cards/explorer/README.md").read_text().split("---")[1])
    assert f"gradio=={card['sdk_version']}\n" in (ROOT / "constraints.txt").read_text()
    assert (ROOT / "cards/explorer" / card["app_file"]).is_file() and card["datasets"] == [RELEASE_NAME]
