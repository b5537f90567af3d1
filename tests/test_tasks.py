"""The tasks as lm-eval loads and scores them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lm_eval
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.filters.extraction import RegexFilter
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from cot_distill_datasets import CotDistillError, tasks
from cot_distill_datasets.answers import equivalent
from cot_distill_datasets.benchmarks import BENCHMARKS
from cot_distill_datasets.schema import Row, completion_text
from cot_distill_datasets.training_rows import load_training_rows


ROOT = Path(__file__).parent.parent
TASKS = sorted(path.stem for path in ROOT.glob("eval_tasks/*/*.yaml"))
REASONING = ["cot_svamp", "cot_gsm8k", "cot_aqua", "cot_math"]
COMMONSENSE = ["cot_csqa", "cot_obqa", "cot_strategyqa"]
BIN = Path(sys.executable).parent


class Writer(LM):
    """A model that answers each item with the completion, in the release's form, that `answer` gives for it."""

    def __init__(self, answer: Callable[[int, list[Row]], str]) -> None:
        super().__init__()
        self.answer = answer
        self.seen: list[Instance] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        self.seen = requests
        docs = [request.doc for request in requests]
        return [completion_text("So.", self.answer(i, docs)) for i in range(len(docs))]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError


def own_gold(index: int, docs: list[Row]) -> str:
    return str(docs[index]["answer"])


def other_gold(index: int, docs: list[Row]) -> str:
    """The gold of the next item whose gold is another."""
    gold, kind = docs[index]["answer"], BENCHMARKS[docs[index]["benchmark"]].answer_kind
    following = (docs[(index + step) % len(docs)]["answer"] for step in range(1, len(docs)))
    return next(str(answer) for answer in following if not equivalent(answer, gold, kind))


def _manager(release: Path) -> TaskManager:
    folder = str(ROOT / "eval_tasks")
    return TaskManager(include_path=folder, include_defaults=False, metadata={"release": str(release)})


def _evaluate(model: LM, name: str, release: Path, limit: int | None = None) -> dict[str, dict[str, float]]:
    """Return the results of a task or group and its members, without standard errors."""
    results = lm_eval.evaluate(model, _manager(release).load([name]), limit=limit, log_samples=False)["results"]
    return {
        member: {key: value for key, value in scores.items() if "," in key and "_stderr" not in key}
        for member, scores in results.items()
    }


def test_the_tasks_are_these() -> None:
    with_paper = [f"{task}_paper" for task in COMMONSENSE]
    assert sorted(["cot_arith", "cot_math500", *REASONING, *COMMONSENSE, *with_paper]) == TASKS


@pytest.mark.parametrize("path", sorted(ROOT.glob("eval_tasks/**/*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_loads_under_the_name_of_its_file_and_lm_eval_knows_it(path: Path, tmp_path: Path) -> None:
    config = load_yaml(path)  # lm-eval's index leaves a broken file out without a word
    assert config["task" if "dataset_kwargs" in config else "group"] == path.stem
    assert path.stem in _manager(tmp_path).all_tasks


@pytest.mark.parametrize("task", TASKS)
def test_the_changelog_has_the_version(task: str) -> None:
    folder = ROOT / "eval_tasks" / task.removesuffix("_paper")
    version = load_yaml(folder / f"{task}.yaml")["metadata"]["version"]
    assert f"`{task}` {version}" in (folder / "README.md").read_text().partition("## Changelog")[2]


@pytest.mark.parametrize("task", TASKS)
def test_golds_score_one_and_other_golds_nothing(task: str, full_release: Path) -> None:
    filters = ["paper"] if task.endswith("_paper") else ["strict-match", "flexible-extract"]
    metrics = ["exact_match", "no_answer", *(["timed_out"] if "math" in task else [])]
    for answer, exact in ((own_gold, 1), (other_gold, 0)):
        scores = _evaluate(Writer(answer), task, full_release)[task]
        assert scores == {f"{m},{f}": exact if m == "exact_match" else 0 for m in metrics for f in filters}


def test_groups_have_their_members_and_average_over_tasks_not_items(full_release: Path) -> None:
    def all_of_svamp(index: int, docs: list[Row]) -> str:
        return own_gold(index, docs) if docs[index]["benchmark"] == "svamp" else "none of these"

    results = _evaluate(Writer(all_of_svamp), "cot_distill", full_release, limit=290)
    assert set(results) == {"cot_distill", "cot_math_reasoning", "cot_commonsense", *REASONING, *COMMONSENSE}
    for name, accuracy in (("cot_distill", 1 / 7), ("cot_math_reasoning", 1 / 4), ("cot_commonsense", 0)):
        expected = {f"exact_match,{f}": accuracy for f in ("strict-match", "flexible-extract")}
        assert {key: results[name][key] for key in expected} == pytest.approx(expected, rel=1e-12)
        assert results[name]["no_answer,strict-match"] == pytest.approx(1 - accuracy, rel=1e-12)


def test_a_group_holds_its_literal_members(full_release: Path) -> None:
    loaded = _manager(full_release).load(["cot_distill"])["groups"]
    members = {name: [task.task_name for task in group.get_all_tasks()] for name, group in loaded.items()}
    assert members == {
        "cot_math_reasoning": REASONING,
        "cot_commonsense": COMMONSENSE,
        "cot_distill": REASONING + COMMONSENSE,
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_zero_shot_and_greedy_or_beam_and_asks_as_training_does(task: str, full_release: Path) -> None:
    model = Writer(own_gold)
    _evaluate(model, task, full_release, limit=20)
    for request in model.seen:
        prompt, generation = request.args
        assert prompt == request.doc["prompt"][0]["content"]
        assert (generation["do_sample"], generation["temperature"]) == (False, 0.0)
        assert generation.get("num_beams", 1) == (5 if task.endswith("_paper") else 1)


@pytest.mark.parametrize("benchmark", ["aqua", "csqa", "obqa"])
def test_options_are_laid_out_in_a_task_as_in_a_training_row(benchmark: str, full_release: Path) -> None:
    test = tasks.rows(benchmark, release=str(full_release))["test"]
    train = load_training_rows(str(full_release), f"answer-{benchmark}")
    for row in [*test.select(range(50)), *train.select(range(50))]:
        options = "".join(f"\n{letter}. {choice}" for letter, choice in zip("ABCDE", row["choices"]))
        assert row["prompt"] == [{"role": "user", "content": f"{row['question']}\nAnswer choices:{options}"}]
        assert len(row["choices"]) in (4, 5)


def test_a_task_without_its_rows_says_what_to_build(workplace: Path) -> None:
    with pytest.raises(CotDistillError, match="cot-distill build --benchmarks DIR"):
        tasks.rows("svamp", release=str(workplace / "eit/cot-distill"))
    with pytest.raises(CotDistillError, match="There is no release in nowhere"):
        tasks.rows("svamp", release="nowhere")


def test_strict_wants_the_closing_sentence_and_flexible_does_not() -> None:
    doc = {"benchmark": "arith", "answer": "1450"}
    responses, docs = [["So 1,450.0 pens."], ["The answer is $1,450."], ["No idea."]], [doc] * 3
    assert tasks.strict_match(responses, docs) == ["", "1450", ""]
    assert tasks.flexible_extract(responses, docs) == ["1450", "1450", ""]
    assert tasks.process_results(doc, ["1450"]) == {"exact_match": 1, "no_answer": 0}
    assert tasks.process_results(doc, [""]) == {"exact_match": 0, "no_answer": 1}


def test_a_comparison_that_is_given_up_counts_as_wrong_and_is_counted() -> None:
    doc = {"benchmark": "math", "answer": r"\frac{\sqrt{3}}{7}"}
    right = {"exact_match": 1, "no_answer": 0, "timed_out": 0}
    assert tasks.process_math_results(doc, [r"\sqrt{3}/7"]) == right
    assert tasks.process_math_results(doc, [""]) == {"exact_match": 0, "no_answer": 1, "timed_out": 0}
    too_long = {"exact_match": 0, "no_answer": 0, "timed_out": 1}
    assert tasks.process_math_results(doc, [r"\sum_{k=1}^{1000000000} \sin(k)"]) == too_long


def test_the_paper_variant_reads_the_first_match_of_the_scripts_regex() -> None:
    (filter_,) = load_yaml(ROOT / "eval_tasks/cot_csqa/cot_csqa_paper.yaml")["filter_list"]
    function, *_ = filter_["filter"]
    regex = RegexFilter(**{key: value for key, value in function.items() if key != "function"})
    responses = ["the answer is A. No, the answer is B", "The answer is False", "The answer is (A)", "So B."]
    assert regex.apply([responses], [{}]) == [["A", "False", "", ""]]


def test_the_bare_command_runs_as_typed_from_another_folder(workplace: Path) -> None:
    command = (
        f"lm_eval --tasks cot_arith --model hf --model_args pretrained={workplace}/runs/demo/untrained "
        "--apply_chat_template --batch_size 8 --limit 8 --device cpu --gen_kwargs max_gen_toks=8 "
        "--output_path results --log_samples"
    )
    ended = subprocess.run(
        command.split(), executable=BIN / "lm_eval", cwd=workplace, text=True, capture_output=True, env=os.environ
    )
    assert "|cot_arith|" in ended.stdout, ended.stderr
    (samples,) = workplace.glob("results/*/samples_cot_arith_*.jsonl")
    sample = json.loads(samples.read_text().splitlines()[0])
    prompt = sample["arguments"]["gen_args_0"]["arg_0"]
    assert prompt == f"<|im_start|>user\n{sample['doc']['question']}<|im_end|>\n<|im_start|>assistant\n"
