import re

import pytest

from cot_distill_datasets import ConfigName, CotDistillError


def test_an_alias_names_the_same_config() -> None:
    assert ConfigName.parse("gpt4o-fine-gsm8k") == ConfigName.parse("gpt4o-l5-gsm8k")
    assert str(ConfigName.parse("gpt4o-fine-gsm8k")) == "gpt4o-l5-gsm8k"


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("gemini-l2-obqa", ConfigName("gemini", 2, "cot", "obqa")),
        ("gpt4o-l5-l2m-svamp", ConfigName("gpt4o", 5, "l2m", "svamp")),
        ("human-gsm8k", ConfigName("human", 0, "cot", "gsm8k")),
        ("answer-csqa", ConfigName("answer", 0, "cot", "csqa")),
        ("my_teacher7-l1-math", ConfigName("my_teacher7", 1, "cot", "math")),
        ("my_teacher7-l1-my_shop9", ConfigName("my_teacher7", 1, "cot", "my_shop9")),
    ],
)
def test_a_name_is_parsed_and_printed_unchanged(name: str, parsed: ConfigName) -> None:
    assert ConfigName.parse(name) == parsed
    assert str(parsed) == name


def test_only_coarse_medium_and_fine_have_aliases() -> None:
    assert ConfigName.parse("gpt4o-l1-rar-svamp").alias == "gpt4o-coarse-rar-svamp"
    assert ConfigName.parse("gpt4o-l3-svamp").alias == "gpt4o-medium-svamp"
    assert ConfigName.parse("gpt4o-l6-svamp").alias is None
    assert ConfigName.parse("human-svamp").alias is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt4o-fin-gsm8k", "use `fine`"),
        ("gpt4o-l5-GSM8K", "use `gsm8k`"),
        ("gpt4o-l5-rar", "Unknown benchmark 'rar'"),
        ("gpt4o-l5-l3", "Unknown benchmark 'l3'"),
        ("gpt4o-l5-rare-svamp", "use `rar`"),
        ("GPT4o-l5-svamp", "use `gpt4o`"),
        ("gpt4o-svamp", "`gpt4o-l1-svamp`"),
        ("human-l3-svamp", "use `human-svamp`"),
        ("eval-svamp", "other than `eval`"),
        ("gpt4o-l5-rar-x-svamp", "Too many parts"),
        ("", "Unknown teacher"),
    ],
)
def test_an_invalid_name_raises_an_error_with_the_nearest_valid_one(name: str, hint: str) -> None:
    with pytest.raises(CotDistillError, match=re.escape(hint)):
        ConfigName.parse(name)
