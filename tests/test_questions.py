"""The same question has the same id everywhere, whatever the layout it was written in."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from cot_distill_datasets.manifest import data_folder, file_of, read_manifest
from cot_distill_datasets.questions import parse_question
from cot_distill_datasets.schema import question_id
from cot_distill_datasets.upstream import _question, _read_json


@pytest.mark.parametrize(
    ("text", "question", "choices"),
    [
        ("How many pens?", "How many pens?", []),
        (
            "Q: The sun is responsible for Answer choices: A: puppies, cats, B: wilting (in a vase), C: x, D: y: z",
            "The sun is responsible for",
            ["puppies, cats", "wilting (in a vase)", "x", "y: z"],
        ),
        (
            "Which is odd? Answer Choices: (A) I only (B) (A) and f(x) (C) 3 (three) (D) 4 (E) None of (A), (B)",
            "Which is odd?",
            ["I only", "(A) and f(x)", "3 (three)", "4", "None of (A), (B)"],
        ),
        (
            "Where are  you? Answer Choices:\nA. new york\nB. St. B. Road\nC. c\nD. d\nE. e\n",
            "Where are  you?",
            ["new york", "St. B. Road", "c", "d", "e"],
        ),
        (
            "He gave the answer. Which? Answer Choices: (A) 1 (B) 2 (C) 3 (D) 4 (E) 5",
            "He gave the answer. Which?",
            ["1", "2", "3", "4", "5"],
        ),
    ],
)
def test_question_and_options_are_parsed_out_of_every_layout(text: str, question: str, choices: list[str]) -> None:
    assert parse_question(text) == (question, choices)


@pytest.mark.parametrize(
    ("benchmark", "pattern", "options"),
    [
        ("aqua", "data/*aqua*.json", 5),
        ("csqa", "data/*c*s*qa_*.json", 5),
        ("csqa", "data/commonsenseQA_onlyans.json", 5),
        ("csqa", "Evaluation/reasoning_eval/csqa_test.json", 5),
        ("obqa", "data/openbook*.json", 4),
        ("obqa", "Evaluation/reasoning_eval/openbookQA_test.json", 4),
    ],
)
def test_every_real_row_parses_to_all_its_options(upstream: Path, benchmark: str, pattern: str, options: int) -> None:
    files = sorted(upstream.glob(pattern))
    assert files
    found = Counter(
        len([choice for choice in parse_question(row["instruction"])[1] if choice])
        for file in files
        for row in json.loads(file.read_bytes())
    )
    assert set(found) == {options}


QUOTES = str.maketrans("“”„‘’`", "\"\"\"'''")


def test_questions_that_two_files_share_have_one_id_in_both(upstream: Path) -> None:
    """Over every file that is there; which questions are shared is told by their text."""
    data = data_folder(upstream)
    ids_of, texts_of, files_of = defaultdict(set), defaultdict(set), defaultdict(set)
    for entry in read_manifest(data)[0]:
        if file_of(entry, data).is_file():
            for index, row in enumerate(_read_json(entry, data)):
                question, choices, _ = _question(entry, index, row)
                text = "".join(row[entry.question_column].split()).casefold().translate(QUOTES)
                id_ = question_id(entry.config.benchmark, question, choices)
                ids_of[entry.config.benchmark, text].add(id_)
                texts_of[id_].add(text)
                files_of[id_].add(entry.config)
    assert all(len(ids) == 1 for ids in ids_of.values())
    assert all(len(texts) == 1 for texts in texts_of.values())
    shared = Counter(id_.partition("-")[0] for id_, files in files_of.items() if len(files) > 1)
    assert shared == {
        "aqua": 6100, "csqa": 9740, "gsm8k": 7442, "math": 1297, "obqa": 4951, "strategyqa": 1999, "svamp": 700,
    }  # fmt: skip


def test_one_question_in_the_layout_of_training_and_of_test_has_one_id() -> None:
    training = parse_question("Q: A bank is  where? Answer choices: A: here, B: There, C: x, D: y, E: z")
    test = parse_question("A bank is where? Answer Choices:\nA. here\nB. there\nC. x\nD. y\nE. z\n")
    assert question_id("csqa", *training) == question_id("csqa", *test)
