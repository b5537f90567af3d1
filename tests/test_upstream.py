import json
from pathlib import Path

import pytest

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.manifest import config_of, data_folder, read_manifest
from cot_distill_datasets.schema import Row
from cot_distill_datasets.upstream import read_golds, read_rows


def test_every_name_of_the_manifest_is_one_config(upstream: Path) -> None:
    entries, refused = read_manifest(data_folder(upstream))
    assert (len(entries), refused) == (156, {})
    assert {entry.config.benchmark for entry in entries} == {
        "svamp",
        "gsm8k",
        "aqua",
        "math",
        "csqa",
        "obqa",
        "strategyqa",
    }


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
def test_names_of_the_manifest_are_read_by_rule(name: str, config: str) -> None:
    assert str(config_of(name)) == config


def test_a_name_of_no_benchmark_is_refused() -> None:
    with pytest.raises(CotDistillError, match="tells no benchmark"):
        config_of("dolly_gemini_level1")


def _rows(upstream: Path, config: str, gold: str) -> list[Row]:
    data = data_folder(upstream)
    entries = {str(entry.config): entry for entry in read_manifest(data)[0]}
    return read_rows(entries[config], data, read_golds(entries[gold], data)).rows


def test_real_rows_are_joined_to_their_gold_and_closed_once(upstream: Path) -> None:
    rows = _rows(upstream, "gpt4o-l5-svamp", "answer-svamp")
    assert len(rows) == 699
    row = next(row for row in rows if str(row["question"]).startswith("Frank was reading"))
    assert (row["answer"], row["teacher_answer"], row["is_correct"]) == ("198", "198", True)
    assert row["completion"] == [{"role": "assistant", "content": f"{row['rationale']}\nThe answer is 198"}]
    assert "answer is" not in str(row["rationale"])
    assert row["source"] == "data/SVAMP_ChatGPT_level5_ranked.json#3"


def test_a_gold_behind_another_conclusion_is_not_the_teachers_answer(upstream: Path) -> None:
    rows = _rows(upstream, "llama70b-l1-svamp", "answer-svamp")
    appended = [row for row in rows if "gold_appended" in row["flags"]]
    assert len(appended) == 2
    assert all(row["is_correct"] is False and row["teacher_answer"] != row["answer"] for row in appended)


def test_decimal_golds_of_the_human_file_agree(upstream: Path) -> None:
    rows = _rows(upstream, "human-svamp", "answer-svamp")
    assert {row["is_correct"] for row in rows} == {True}
    assert all("." not in str(row["answer"]) for row in rows)


def test_the_promised_gsm8k_file_of_gpt4o_imports_in_its_layout(tmp_path: Path) -> None:
    manifest = {
        "GSM8k_ChatGPT_level5": {
            "file_name": "gsm8k_ChatGPT_level5_ranked.json",
            "columns": {"prompt": "instruction", "response": "output"},
        }
    }
    stand_in = [{"instruction": "2 and 3 pens?", "output": "1. Add 2 and 3: 2 + 3 = 5. The answer is 5"}]
    (tmp_path / "dataset_info.json").write_text(json.dumps(manifest))
    (tmp_path / "gsm8k_ChatGPT_level5_ranked.json").write_text(json.dumps(stand_in))
    (entry,), _ = read_manifest(tmp_path)
    (row,) = read_rows(entry, tmp_path, {}).rows
    assert str(entry.config) == "gpt4o-l5-gsm8k"
    assert (row["rationale"], row["answer"], row["flags"]) == ("1. Add 2 and 3: 2 + 3 = 5.", "5", ["no_gold"])
