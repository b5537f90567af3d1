import json
from pathlib import Path

import pytest

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.release.editions import DEFAULT_EDITION
from cot_distill_datasets.release.selection import select
from cot_distill_datasets.schema import Row
from cot_distill_datasets.sources.manifest import data_folder, parse_manifest_name, read_manifest
from cot_distill_datasets.sources.upstream import read_golds, read_rows, source


def test_every_name_of_the_manifest_is_a_different_config(upstream: Path) -> None:
    entries, unreadable = read_manifest(data_folder(upstream))
    assert (len(entries), unreadable) == (156, {})
    assert {entry.config.benchmark for entry in entries} == {
        "svamp", "gsm8k", "aqua", "math", "csqa", "obqa", "strategyqa",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("SVAMP_human", "human-svamp"),
        ("GSM8k_only_ans", "answer-gsm8k"),
        ("math_onlyans", "answer-math"),
        ("auqa_ChatGPT_level6", "gpt4o-l6-aqua"),
        ("cQA_llama_level3", "llama70b-l3-csqa"),
        ("ecqa_human", "human-csqa"),
        ("gsm8k_gemma_sym", "gpt4o-l5-symbolic-gsm8k"),
        ("gsm8k_bloom_bsm", "gpt4o-l3-l2m-gsm8k"),
        ("aqua_level6_rar", "gpt4o-l6-rar-aqua"),
        ("math_mix_gemini_level2", "gemini-l2-math"),
    ],
)
def test_names_of_the_manifest_are_parsed_by_rule(name: str, config: str) -> None:
    assert str(parse_manifest_name(name)) == config


@pytest.mark.parametrize(("name", "missing"), [("dolly_gemini_level1", "benchmark"), ("svamp_level1", "teacher")])
def test_a_name_without_a_known_benchmark_or_teacher_is_rejected(name: str, missing: str) -> None:
    with pytest.raises(CotDistillError, match=f"'{name}'.* {missing}"):
        parse_manifest_name(name)


def _rows(release: Path, config: str, gold: str) -> list[Row]:
    data = data_folder(release)
    entries = {str(entry.config): entry for entry in read_manifest(data)[0]}
    return read_rows(entries[config], data, read_golds(entries[gold], data)).rows


def test_released_rows_are_joined_to_their_gold_and_closed_once(stand_in: Path) -> None:
    rows = _rows(stand_in, "gpt4o-l5-svamp", "answer-svamp")
    assert len(rows) == 3
    row = next(row for row in rows if str(row["question"]).startswith("A baker put"))
    assert (row["answer"], row["teacher_answer"], row["is_correct"]) == ("8", "8", True)
    assert row["rationale"] == "The pies do not matter. There are 48 rolls. There are 6 bags. 48 / 6 = 8."
    assert row["completion"] == [{"role": "assistant", "content": f"{row['rationale']}\nThe answer is 8"}]
    assert all("answer is" not in str(row["rationale"]) for row in rows)
    assert row["source"] == "data/SVAMP_ChatGPT_level5_ranked.json#1"


def test_a_gold_after_a_different_conclusion_is_not_the_teachers_answer(stand_in: Path) -> None:
    rows = _rows(stand_in, "gpt4o-l1-svamp", "answer-svamp")
    (row,) = [row for row in rows if "gold_appended" in row["flags"]]
    assert (row["answer"], row["teacher_answer"], row["is_correct"]) == ("18", "28", False)


def test_decimal_conclusions_of_the_human_file_equal_their_golds(stand_in: Path) -> None:
    rows = _rows(stand_in, "human-svamp", "answer-svamp")
    assert [row["answer"] for row in rows] == ["23", "8", "18"]
    assert {row["is_correct"] for row in rows} == {True}


OPTIONS = "Where is it? Answer choices: A: park, B: garden"


@pytest.mark.parametrize(
    ("config", "question", "gold", "text"),
    [
        ("gsm8k_gemini_level1", "20 + 1?", "21", "20 + 1.\n#### 20"),
        ("gsm8k_gemini_level1", "20 + 1?", "21", "20 + 1.\n#### 20\nThe answer is 21"),
        ("gsm8k_gemini_level1", "20 + 1?", "21", "20 + 1.\n#### 20\nSo it is.\nThe answer is 21"),
        ("gsm8k_gemini_level1", "20 + 1?", "21", "20 + 1. <answer>20</answer> The answer is 21"),
        ("gsm8k_gemini_level1", "20 + 1?", "21", "The answer is 20. This is wrong, it is one more. The answer is 21"),
        ("gsm8k_gemini_level1", "20 + 1?", "21", "The answer is not given. The answer is 21"),
        ("math_gemini_level1", "7 * 8 + 1?", "57", "So $\\boxed{56}$. The answer is 57"),
        ("math_gemini_level1", "7 * 8 + 1?", "57", "So $\\boxed{56}$.\nThat is all.\nThe answer is 57"),
        ("stqa_gemini_level1", "Is it dark?", "True", "It is noon.\n**Answer:** No\nThe answer is True"),
        ("stqa_gemini_level1", "Is it dark?", "True", "**Answer:** No, because the sun stands high at noon, as "
         "everybody knows. The answer is True"),
        ("cqa_gemini_level1", OPTIONS, "A", "It grows. Answer: (B) garden"),
        ("cqa_gemini_level1", OPTIONS, "A", "It grows. Answer: (B) garden. The answer is A"),
        ("cqa_gemini_level1", OPTIONS, "A", "It grows.\nAnswer: garden\nThe answer is A"),
        ("cqa_gemini_level1", OPTIONS, "A", "It grows. The answer is garden. The answer is A"),
        ("cqa_gemini_level1", OPTIONS, "A", "The answer is garden. It is, for all who know. The answer is A"),
        ("cqa_gemini_level1", OPTIONS, "A", "Nothing is known."),
    ],
)  # fmt: skip
def test_no_text_that_concludes_otherwise_than_the_gold_in_any_layout_is_in_the_default_edition(
    tmp_path: Path, config: str, question: str, gold: str, text: str
) -> None:
    columns = {"prompt": "q", "response": "a"}
    names = {config: text, f"{config.partition('_')[0]}_only_ans": gold}
    (tmp_path / "dataset_info.json").write_text(
        json.dumps({name: {"file_name": f"{name}.json", "columns": columns} for name in names})
    )
    for name, response in names.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([{"q": question, "a": response}]))
    loaded = source(tmp_path, BENCHMARKS)
    assert loaded.skipped == {}
    kept = {str(name): [*select(read(loaded.golds).rows, DEFAULT_EDITION)[0]] for name, read in loaded.readers.items()}
    assert [len(rows) for name, rows in kept.items()] == [1, 0]  # the gold, and no row of the teacher


def test_the_unreleased_gsm8k_file_of_gpt4o_can_be_imported(tmp_path: Path) -> None:
    manifest = {
        "GSM8k_ChatGPT_level5": {
            "file_name": "gsm8k_ChatGPT_level5_ranked.json",
            "columns": {"prompt": "instruction", "response": "output"},
        }
    }
    rows = [{"instruction": "2 and 3 pens?", "output": "1. Add 2 and 3: 2 + 3 = 5. The answer is 5"}]
    (tmp_path / "dataset_info.json").write_text(json.dumps(manifest))
    (tmp_path / "gsm8k_ChatGPT_level5_ranked.json").write_text(json.dumps(rows))
    (entry,), _ = read_manifest(tmp_path)
    (row,) = read_rows(entry, tmp_path, {}).rows
    assert str(entry.config) == "gpt4o-l5-gsm8k"
    assert (row["rationale"], row["answer"], row["flags"]) == ("1. Add 2 and 3: 2 + 3 = 5.", "5", ["no_gold"])
