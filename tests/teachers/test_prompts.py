"""The prompts: exemplars that the grader confirms and no benchmark has, and messages that hold what they should."""

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from support import SHARED

from cot_distill_datasets.benchmarks import BENCHMARKS, TEST_SPLITS, layout
from cot_distill_datasets.grading.answers import CLOSING, extract, normalize
from cot_distill_datasets.names import FORMATS, GRANULARITIES, ConfigName
from cot_distill_datasets.release.config_files import mean_lengths
from cot_distill_datasets.release.overlap import NEAR, SHINGLE, ngrams, words
from cot_distill_datasets.schema import completion_text, question_id
from cot_distill_datasets.sources import arith, upstream
from cot_distill_datasets.sources.generated import has_shape
from cot_distill_datasets.sources.manifest import data_folder
from cot_distill_datasets.sources.responses import concludes_otherwise, read_response
from cot_distill_datasets.sources.test_splits import read_test_splits
from cot_distill_datasets.teachers.prompts import messages, render
from cot_distill_datasets.teachers.prompts.messages import read_prompts


LEVELS_AND_FORMATS = [(level, format_) for format_ in FORMATS for level in GRANULARITIES]
CONFIGS = [ConfigName("tiny", *place, benchmark) for benchmark in BENCHMARKS for place in LEVELS_AND_FORMATS]


def _exemplars(benchmark: str) -> Iterator[tuple[str, str]]:
    """Yield the format and the text of each exemplar, without its closing line."""
    prompts = read_prompts(benchmark)
    yield from (("cot", text) for text in prompts["cot"].values())
    yield from ((format_, prompts[format_]) for format_ in FORMATS if format_ != "cot")


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_exemplar_of_every_config_concludes_with_its_gold(config: ConfigName) -> None:
    prompts, kind = read_prompts(config.benchmark), BENCHMARKS[config.benchmark].answer_kind
    gold, text = prompts["gold"], render(config, "Q", [], None).messages[1]["content"]
    assert text.splitlines()[-1] == f"{CLOSING} {gold}"
    assert extract(text, kind, strict=True) == gold == normalize(gold, kind)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_exemplars_need_no_repair_and_have_the_shape_of_their_format(benchmark: str) -> None:
    prompts, kind = read_prompts(benchmark), BENCHMARKS[benchmark].answer_kind
    for format_, text in _exemplars(benchmark):
        response = completion_text(text, prompts["gold"])
        assert read_response(response, prompts["gold"], kind, prompts["choices"]) == (text, prompts["gold"], [])
        assert not concludes_otherwise(text, prompts["gold"], kind, prompts["choices"])
        assert [other for other in FORMATS[1:] if has_shape(other, text)] == [format_] * (format_ != "cot")


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_each_level_is_longer_and_finer_than_the_one_before(benchmark: str) -> None:
    texts = read_prompts(benchmark)["cot"]
    lengths = [mean_lengths([{"rationale": texts[level]}]) for level in GRANULARITIES]
    assert list(texts) == list(GRANULARITIES)
    for (fewer_words, fewer_steps), (more_words, more_steps) in pairwise(lengths):
        assert more_words > 1.2 * fewer_words and more_steps > fewer_steps


@pytest.mark.parametrize("benchmark", ["arith", "svamp", "gsm8k", "aqua", "math"])
def test_every_equation_of_an_exemplar_is_true(benchmark: str) -> None:
    text = "\n".join(text for _, text in _exemplars(benchmark)).replace(r"\cdot", "*").replace("$", "")
    text = re.sub(r"\\binom{(\d+)}{2}", r"(\1 * (\1 - 1) / 2)", text)
    text = re.sub(r"\\frac{([^{}]+)}{([^{}]+)}", r"((\1) / (\2))", text)
    side = r"[-+*/(). \d]*\d\)*"
    equations = re.findall(rf"(?<![\w.])({side}) = (?=({side}))", text)
    assert len(equations) >= 15
    for left, right in equations:
        assert eval(left) == pytest.approx(eval(right)), f"{left} = {right}"


def test_the_exemplar_of_arith_is_in_no_split() -> None:
    problems = [problem for split in arith.splits() for problem in split]
    questions = {question_id("arith", p.question, []): words(p.question, []) for p in problems}
    exemplar = read_prompts("arith")["question"]
    assert len(questions) == 5500 and question_id("arith", exemplar, []) not in questions
    assert not any(name in exemplar for name in {p.name for p in problems} | {p.items for p in problems})


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_no_exemplar_is_a_question_of_a_test_split_or_of_the_release_or_resembles_one() -> None:
    checkout = SHARED / "upstream"
    splits, _ = read_test_splits(TEST_SPLITS, SHARED / "benchmarks", checkout, hub=False)
    release = upstream.source(data_folder(checkout), BENCHMARKS)
    for benchmark in BENCHMARKS.keys() - {"arith"}:
        items = [(item.question, item.choices) for n in splits if n.startswith(benchmark) for item in splits[n]]
        read = release.readers[ConfigName("answer", 0, "cot", benchmark)](release.golds)
        items += [(row["question"], row["choices"]) for row in read.rows]
        exemplar = read_prompts(benchmark)["question"], read_prompts(benchmark)["choices"]
        assert len(items) > 900
        assert question_id(benchmark, *exemplar) not in {question_id(benchmark, *item) for item in items}
        grams = ngrams(words(*exemplar), SHINGLE)
        others = (ngrams(words(*item), SHINGLE) for item in items)
        assert max(len(grams & other) / len(grams | other) for other in others) < NEAR / 2


def test_a_teacher_sees_the_gold_only_if_it_is_conditioned_on_it() -> None:
    config, choices = ConfigName.parse("tiny-l3-csqa"), ["a tree", "a den"]
    shown, hidden = (render(config, "Where?", choices, gold) for gold in ("B", None))
    assert shown.messages[-1]["content"] == f"Question: {layout('Where?', choices)}\n\nCorrect answer: B"
    assert hidden.messages[-1]["content"] == f"Question: {layout('Where?', choices)}"
    assert "Correct answer: B" in shown.messages[0]["content"]  # of the exemplar
    assert "Correct answer" not in str(hidden.messages)
    conditions = read_prompts("instructions")["conditions"]
    told = [[text in prompt.messages[0]["content"] for text in conditions.values()] for prompt in (shown, hidden)]
    assert (list(conditions), told) == (["gold", "no_gold"], [[True, False], [False, True]])
    assert [turn["role"] for turn in shown.messages] == ["user", "assistant", "user"]


def test_a_question_that_names_a_place_of_the_template_is_sent_as_it_is() -> None:
    last = render(ConfigName.parse("tiny-l1-math"), r"Is {gold} = {question} in \frac{1}{2}?", [], "7").messages[-1]
    assert last["content"] == "Question: Is {gold} = {question} in \\frac{1}{2}?\n\nCorrect answer: 7"


def test_every_config_and_condition_has_its_own_prompt_whatever_the_question() -> None:
    hashes = {
        (config, gold is None): {render(config, question, [], gold).hash for question in ("One?", "Two?")}
        for config in CONFIGS
        for gold in (None, "1", "2")
    }
    assert all(len(found) == 1 for found in hashes.values())
    assert len(set.union(*hashes.values())) == 2 * len(CONFIGS)


@pytest.mark.parametrize("name", ["instructions", "gsm8k"])
def test_an_edited_prompt_file_has_another_hash(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ConfigName.parse("tiny-l2-gsm8k")
    before = render(config, "Q", [], None).hash
    shutil.copytree(messages._FOLDER, tmp_path / "prompts")
    path = tmp_path / f"prompts/{name}.yaml"
    path.write_text(path.read_text().replace("worked", "full").replace("Rent and", "The rent and"))
    monkeypatch.setattr(messages, "_FOLDER", path.parent)
    monkeypatch.setattr(messages, "_template", messages._template.__wrapped__)
    assert render(config, "Q", [], None).hash != before
