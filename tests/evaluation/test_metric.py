"""The metric of `evaluate`: it loads from its folder, grades as the tasks do, and is ready to be a Hub Space."""

import contextlib
import doctest
import importlib.metadata
import io
import re
from collections.abc import Iterator

import evaluate
import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from support import ROOT

from cot_distill_datasets.errors import CotDistillError


FOLDER = ROOT / "eval_tasks/cot_answer_match"
CARD = SpaceCard.load(FOLDER / "README.md")


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[evaluate.Metric]:
    """The metric. `evaluate` writes to a temporary cache instead of the user's."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", cache / "modules")
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", cache / "metrics")
        patch.chdir(ROOT)
        yield evaluate.load("eval_tasks/cot_answer_match")


@pytest.mark.parametrize(
    ("kind", "predictions", "references", "scores"),
    [
        ("number", ["2 * 12 = 24.\nThe answer is $1,024.0.", "The answer is 3."], ["1024", "4"], (0.5, 0.0)),
        ("choice", ["Leaves are green. The answer is Option (C).", "I do not know."], ["C", "B"], (0.5, 0.5)),
        ("boolean", ["The answer is yes.", "The answer is False."], ["True", "True"], (0.5, 0.0)),
        ("math", [r"The answer is $\frac{x}{2}$.", "The answer is $x$."], ["0.5x", "y"], (0.5, 0.0)),
    ],
)
def test_answers_of_each_kind_are_graded(
    metric: evaluate.Metric, kind: str, predictions: list[str], references: list[str], scores: tuple[float, float]
) -> None:
    result = metric.compute(predictions=predictions, references=references, kind=kind)
    assert result == {"exact_match": scores[0], "no_answer": scores[1]}


def test_only_strict_requires_the_closing_sentence(metric: evaluate.Metric) -> None:
    outputs = {"predictions": ["6 - 3 = 3 are left."], "references": ["3"]}
    assert metric.compute(**outputs) == {"exact_match": 0.0, "no_answer": 1.0}
    assert metric.compute(**outputs, strict=False) == {"exact_match": 1.0, "no_answer": 0.0}


def test_all_added_batches_are_graded(metric: evaluate.Metric) -> None:
    metric.add_batch(predictions=["The answer is A.", "The answer is B."], references=["A", "B"])
    metric.add_batch(predictions=["The answer is C."], references=["D"])
    metric.add(prediction="None of these.", reference="E")
    assert metric.compute(kind="choice") == {"exact_match": 0.5, "no_answer": 0.25}


def test_an_unknown_kind_is_rejected_with_the_nearest(metric: evaluate.Metric) -> None:
    with pytest.raises(CotDistillError, match=r"'maths': use `math`\."):
        metric.compute(predictions=["The answer is 1."], references=["1"], kind="maths")


@pytest.mark.parametrize(
    ("kind", "reference"), [("number", "banana"), ("number", "6 - 3 = 3\n#### 3"), ("choice", "Paris"), ("math", "")]
)
def test_a_reference_that_is_not_an_answer_of_the_kind_is_rejected(
    metric: evaluate.Metric, kind: str, reference: str
) -> None:
    good = {"number": "1", "choice": "A", "math": "x"}[kind]
    with pytest.raises(CotDistillError, match=rf"references\[1\] .* {kind}: "):
        metric.compute(predictions=["The answer is 1."] * 2, references=[good, reference], kind=kind)


def test_empty_lists_are_rejected(metric: evaluate.Metric) -> None:
    with pytest.raises(CotDistillError, match="empty"):
        metric.compute(predictions=[], references=[])


def test_the_example_in_the_docstring_is_correct(metric: evaluate.Metric) -> None:
    example = doctest.DocTestParser().get_doctest(metric.inputs_description, {"evaluate": evaluate}, "metric", None, 0)
    assert doctest.DocTestRunner().run(example) == (0, 2)


def test_the_snippet_on_the_card_prints_its_output(metric: evaluate.Metric) -> None:
    snippet, output = re.findall(r"```(?:python|text)\n(.*?)```", CARD.text, re.DOTALL)
    assert _output(snippet) == output


def _output(snippet: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet, {})
    return printed.getvalue()


def test_the_examples_on_the_card_are_correct(metric: evaluate.Metric) -> None:
    examples = re.findall(r"^\| `(\w+)` \| `(.+)` \| `(.+)` \| (\d\.\d) \|$", CARD.text, re.MULTILINE)
    assert len(examples) == 5
    for kind, prediction, reference, score in examples:
        result = metric.compute(predictions=[prediction], references=[reference], kind=kind)
        assert result["exact_match"] == float(score), prediction


def test_the_card_has_the_metadata_of_a_space() -> None:
    data = CARD.data.to_dict()
    assert data["sdk"] == "gradio" and re.fullmatch(r"\d+\.\d+\.\d+", data["sdk_version"])
    assert {"title", "emoji", "colorFrom", "colorTo", "pinned", "description"} <= set(data)
    assert data["tags"] == ["evaluate", "metric"]
    assert (FOLDER / data["app_file"]).is_file()


def test_the_requirements_of_the_space_match_the_installed_versions() -> None:
    requirements = [Requirement(line) for line in (FOLDER / "requirements.txt").read_text().splitlines()]
    assert [requirement.name for requirement in requirements] == ["cot-distill", "evaluate"]
    assert all(importlib.metadata.version(one.name) in one.specifier for one in requirements)
