"""A question has the same id in every layout."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from cot_distill_datasets.schema import question_id
from cot_distill_datasets.sources.manifest import data_folder, data_path, read_manifest
from cot_distill_datasets.sources.questions import parse_question
from cot_distill_datasets.sources.records import load_records
from cot_distill_datasets.sources.upstream import _question


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
def test_question_and_options_are_parsed_from_every_layout(text: str, question: str, choices: list[str]) -> None:
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
def test_every_released_row_parses_to_all_its_options(
    stand_in: Path, benchmark: str, pattern: str, options: int
) -> None:
    files = sorted(stand_in.glob(pattern))
    assert files
    counts = Counter(
        len([choice for choice in parse_question(row["instruction"])[1] if choice])
        for file in files
        for row in json.loads(file.read_bytes())
    )
    assert set(counts) == {options}


QUOTES = str.maketrans("“”„‘’`", "\"\"\"'''")


@pytest.mark.parametrize(
    ("release", "shared"),
    [
        ("stand_in", {"aqua": 3, "csqa": 2, "gsm8k": 2, "math": 4, "obqa": 2, "strategyqa": 2, "svamp": 3}),
        pytest.param(
            "upstream",
            {"aqua": 6100, "csqa": 9740, "gsm8k": 7442, "math": 1297, "obqa": 4951, "strategyqa": 1999, "svamp": 700},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_question_in_several_files_has_the_same_id_in_each(
    request: pytest.FixtureRequest, release: str, shared: dict[str, int]
) -> None:
    """Covers every file of the manifest. Two questions are the same if their normalized texts are equal."""
    data = data_folder(request.getfixturevalue(release))
    ids, texts, configs = defaultdict(set), defaultdict(set), defaultdict(set)
    for entry in read_manifest(data)[0]:
        if data_path(entry, data).is_file():
            for index, row in enumerate(load_records(data_path(entry, data), entry.file_name)):
                question, choices, _ = _question(entry, index, row)
                text = "".join(row[entry.question_column].split()).casefold().translate(QUOTES)
                id_ = question_id(entry.config.benchmark, question, choices)
                ids[entry.config.benchmark, text].add(id_)
                texts[id_].add(text)
                configs[id_].add(entry.config)
    assert {len(group) for group in ids.values()} == {1}
    assert {len(group) for group in texts.values()} == {1}
    assert Counter(id_.partition("-")[0] for id_, group in configs.items() if len(group) > 1) == shared


def test_a_question_has_the_same_id_in_the_training_and_test_layouts() -> None:
    training = parse_question("Q: A bank is  where? Answer choices: A: here, B: There, C: x, D: y, E: z")
    test = parse_question("A bank is where? Answer Choices:\nA. here\nB. there\nC. x\nD. y\nE. z\n")
    assert question_id("csqa", *training) == question_id("csqa", *test)
