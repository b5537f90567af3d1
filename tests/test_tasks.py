"""The tasks as lm-eval loads and scores them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from cot_distill_datasets import CotDistillError, tasks
from cot_distill_datasets.build import load_training_rows
from cot_distill_datasets.release import read_release


ROOT = Path(__file__).parent.parent
TASKS = sorted(path.stem for path in ROOT.glob("eval_tasks/*/*.yaml"))
BIN = Path(sys.executable).parent


class GoldWriter(LM):
    """A model that answers each request with the gold of the item `shift` places further on."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.seen: list[Instance] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        self.seen = requests
        docs = [request.doc for request in requests]
        return [f"So.\nThe answer is {docs[(i + self.shift) % len(docs)]['answer']}" for i in range(len(docs))]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError


def _evaluate(model: LM, task: str, release: Path) -> dict[str, float]:
    manager = TaskManager(include_path=str(ROOT / "eval_tasks"), metadata={"release": str(release)})
    results = lm_eval.simple_evaluate(model, tasks=[task], task_manager=manager, bootstrap_iters=0)
    return dict(results["results"][task])


@pytest.mark.parametrize("task", TASKS)
def test_golds_score_one_and_another_items_gold_scores_low(task: str, full_release: Path) -> None:
    fed = _evaluate(GoldWriter(0), task, full_release)
    assert (fed["exact_match,strict-match"], fed["exact_match,flexible-extract"], fed["no_answer,strict-match"]) == (
        1,
        1,
        0,
    )
    assert (
        _evaluate(GoldWriter(1), task, full_release)["exact_match,strict-match"] < 0.1
    )  # neighbours may share a gold


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_greedy_and_states_its_stop_and_length(task: str, full_release: Path) -> None:
    model = GoldWriter(0)
    _evaluate(model, task, full_release)
    request = model.seen[0]
    prompt, generation = request.args
    assert prompt == request.doc["prompt"][0]["content"] == request.doc["question"]
    assert (generation["do_sample"], generation["temperature"]) == (False, 0.0)
    assert generation["max_gen_toks"] >= 256
    assert "<|im_end|>" in generation["until"] and "\n\n" not in generation["until"]


@pytest.mark.parametrize("task", TASKS)
def test_no_stop_string_occurs_in_a_training_target(task: str, full_release: Path) -> None:
    model = GoldWriter(0)
    _evaluate(model, task, full_release)
    release = read_release(full_release)
    assert release is not None
    for stats in release.training:
        if stats.name.endswith(task.removeprefix("cot_")):
            rows = load_training_rows(str(full_release), stats.name)
            text = "\n".join(completion[0]["content"] for completion in rows["completion"])
            assert not [stop for stop in model.seen[0].args[1]["until"] if stop in text]


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
