"""The verification of stores: reasons, levels, formats, duplicates, and teachers on the same questions."""

from dataclasses import replace
from pathlib import Path

import pytest
from annotation import count_judgments
from stores import arith_answers, make_answer, write_store

from cot_distill_datasets.cli import main
from cot_distill_datasets.sources.generated import Answer


def _rows(page: str, header: str) -> list[dict[str, str]]:
    """Return the rows of the table whose first column is `header`."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    start = next(number for number, line in enumerate(lines) if line[0] == header)
    table = lines[start + 2 :]
    end = next((number for number, line in enumerate(table) if line[0] in ("config", "teacher")), len(table))
    return [dict(zip(lines[start], line)) for line in table[:end]]


def _status(folder: Path, *arguments: str) -> int:
    return main(["annotate", "status", "--annotations", str(folder), *arguments])


def _answer(teacher: str, text: str, config: str = "l1-svamp", **values: object) -> Answer:
    return make_answer(f"{teacher}-{config}", "How many are 2 and 3 pens?", "5", text, **values)


def test_answers_are_counted_by_reason_and_rows_by_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = "2 + 3 = 5.\nThe answer is 5"
    texts = [right, right, "6.\nThe answer is 6", "", "Let me see.", "2 and 3 together make 5.\nThe answer is 5"]
    answers = [_answer("tiny", text, sample=n) for n, text in enumerate(texts)]
    answers += [_answer("tiny", right, sample=6, finish_reason="length"), _answer("tiny", "", sample=7, refusal="no")]
    write_store(tmp_path / "tiny", answers)
    assert _status(tmp_path) == 0
    assert _rows(capsys.readouterr().out, "config") == [
        {
            "config": "tiny-l1-svamp", "answers": "8", "kept": "3", "wrong": "1", "truncated": "1", "empty": "1",
            "refused": "1", "unreadable": "1", "rows": "1", "words": "5.0", "in shape": "–", "duplicates": "1",
            "distinct 3-grams": "0.70",
        }
    ]  # fmt: skip


def test_listed_answers_are_judged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["2 + 3 = 5.\nThe answer is 5", "6.\nThe answer is 6", ""]
    answers = [_answer("tiny", text, sample=n) for n, text in enumerate(texts)]
    write_store(tmp_path / "tiny", answers)
    judged = count_judgments(monkeypatch)
    assert _status(tmp_path, "--show", "all") == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [(line[0], line[3]) for line in listed] == [("kept", "0"), ("wrong", "1"), ("empty", "2")]
    assert judged == {answer.key: 1 for answer in answers}


def test_an_answer_to_a_benchmark_that_is_unknown_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "tiny", [_answer("tiny", "2 + 3 = 5.\nThe answer is 5")])
    path = tmp_path / "tiny/answers.jsonl"
    path.write_text(path.read_text().replace("tiny-l1-svamp", "tiny-l1-svampp"))
    assert _status(tmp_path) == 2
    assert "use `svamp`" in capsys.readouterr().err


def test_adjacent_levels_are_compared_question_by_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(tmp_path / "tiny", [a for level in (1, 3, 5) for a in arith_answers(f"tiny-l{level}-arith", 8)])
    write_store(tmp_path / "other", arith_answers("other-l1-arith", 8))
    _status(tmp_path, "--teacher", "tiny")
    lines = capsys.readouterr().out.splitlines()
    assert "tiny-l3-arith is longer than tiny-l1-arith in 100% of the questions, 3.3 times" in lines
    assert any(line.startswith("tiny-l5-arith is longer than tiny-l3-arith in 100%") for line in lines)


def test_levels_of_equal_length_are_not_separated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "2 + 3 = 5.\nThe answer is 5"
    write_store(tmp_path / "tiny", [_answer("tiny", text, f"l{level}-svamp") for level in (1, 2)])
    _status(tmp_path)
    assert "tiny-l2-svamp is longer than tiny-l1-svamp in 0% of the questions, 1.0 times: not separated" in (
        capsys.readouterr().out.splitlines()
    )


def test_the_share_of_texts_in_the_shape_of_their_format_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sub_questions = "How many are 2 and 3? They are 2 + 3 = 5. How many pens is that? It is 5 pens.\nThe answer is 5"
    texts = [sub_questions, "2 + 3 = 5.\nThe answer is 5"]
    write_store(tmp_path / "tiny", [_answer("tiny", text, "l3-l2m-svamp", sample=n) for n, text in enumerate(texts)])
    _status(tmp_path)
    (row,) = _rows(capsys.readouterr().out, "config")
    assert (row["config"], row["kept"], row["in shape"]) == ("tiny-l3-l2m-svamp", "2", "50%")


def test_teachers_are_compared_on_the_questions_that_all_of_them_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "big", arith_answers("big-l3-arith", 10, output_tokens=100, prompt_tokens=1000))
    right = arith_answers("small-l3-arith", 6, output_tokens=50, prompt_tokens=1000)
    wrong = [replace(answer, text="A guess.\nThe answer is -1") for answer in right[:2]]
    write_store(tmp_path / "small", [*wrong, *right[2:], *arith_answers("small-l1-arith", 3)])
    assert _status(tmp_path, "--price", "1,10", "0.1,1") == 0
    names = ("answers", "kept", "wrong", "rows", "output tokens", "cost", "cost per row")
    assert {row["teacher"]: [row[name] for name in names] for row in _rows(capsys.readouterr().out, "teacher")} == {
        "big": ["6", "6", "0", "6", "600", "0.012", "0.002"],  # 6 * (1000 * 1 + 100 * 10) / 1e6
        "small": ["6", "4", "2", "4", "300", "0.0009", "0.000225"],
    }


def test_an_answer_that_was_asked_again_counts_once_and_costs_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = _answer("tiny", "2 + 3", finish_reason="length", output_tokens=70)
    again = _answer("tiny", "2 + 3 = 5.\nThe answer is 5", output_tokens=30)
    assert failed.key == again.key
    write_store(tmp_path / "tiny", [failed, again])
    _status(tmp_path, "--price", "1,0")
    (row,) = _rows(capsys.readouterr().out, "teacher")
    names = ("answers", "kept", "truncated", "output tokens", "cost")
    assert [row[name] for name in names] == ["1", "1", "0", "100", "0.0006"]  # 2 * 300 prompt tokens


def test_costs_are_lower_bounds_where_a_server_did_not_count_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = "2 + 3 = 5.\nThe answer is 5"
    write_store(tmp_path / "tiny", [_answer("tiny", right), _answer("tiny", right, sample=1, output_tokens=None)])
    _status(tmp_path, "--price", "1,1")
    (row,) = _rows(capsys.readouterr().out, "teacher")
    assert (row["output tokens"], row["cost"], row["cost per row"]) == ("≥ 50", "≥ 0.00065", "≥ 0.00065")


def test_teachers_without_a_common_question_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "a", arith_answers("a-l1-arith", 2))
    write_store(tmp_path / "b", arith_answers("b-l2-arith", 2))
    assert _status(tmp_path) == 0
    assert "| teacher" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["--teacher", "tinny"], ["--price", "1,1", "2,2", "3,3"], ["--price", "1"], ["--show", "kep"]],
    ids=" ".join,
)
def test_what_cannot_be_shown_is_rejected(arguments: list[str], tmp_path: Path) -> None:
    for name in ("tiny", "big"):
        write_store(tmp_path / name, arith_answers(f"{name}-l1-arith", 1))
    try:
        code = _status(tmp_path, *arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert _status(tmp_path / "absent") == 2
