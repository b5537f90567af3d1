"""The tasks, loaded and scored by lm-eval."""

import json
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
from lm_eval.api.model import LM
from lm_eval.filters.extraction import RegexFilter
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from support import ROOT
from writer import Writer, own_gold

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.benchmarks import BENCHMARKS, RESERVED, TEST_SPLITS
from cot_distill_datasets.chat import OWN_TASK
from cot_distill_datasets.evaluation import tasks
from cot_distill_datasets.evaluation.results import split_for_task
from cot_distill_datasets.grading.answers import equivalent
from cot_distill_datasets.schema import Row
from cot_distill_datasets.training.data import load_rows


TASKS = sorted(path.stem for path in ROOT.glob("eval_tasks/*/*.yaml"))
STAND_IN = ROOT / "tests/data"
STAND_IN_SPLITS = {
    name
    for name, split in TEST_SPLITS.items()
    if split.embedded
    or (STAND_IN / "benchmarks" / (split.test_file or "-")).is_file()
    or (STAND_IN / "upstream" / (split.upstream_test or "-")).is_file()
}
REASONING = ["cot_svamp", "cot_gsm8k", "cot_aqua", "cot_math"]
COMMONSENSE = ["cot_csqa", "cot_obqa", "cot_strategyqa"]
BIN = Path(sys.executable).parent


def other_gold(index: int, docs: list[Row]) -> str:
    """The gold of the next question with a different gold."""
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


def test_all_tasks_exist() -> None:
    with_paper = [f"{task}_paper" for task in COMMONSENSE]
    assert sorted([*(f"cot_{split}" for split in TEST_SPLITS), *with_paper, OWN_TASK]) == TASKS


def test_no_benchmark_of_a_user_can_have_the_name_of_a_task_or_group() -> None:
    names = {path.stem.removeprefix("cot_") for path in ROOT.glob("eval_tasks/**/cot_*.*")}
    assert {name for name in names - BENCHMARKS.keys() if not name.endswith("_paper")} == set(RESERVED)


@pytest.mark.parametrize("path", sorted(ROOT.glob("eval_tasks/**/*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_loads_and_lm_eval_lists_it_under_its_file_name(path: Path, tmp_path: Path) -> None:
    config = load_yaml(path)  # lm-eval's index skips a broken file without a message
    assert config["task" if "dataset_kwargs" in config else "group"] == path.stem
    assert path.stem in _manager(tmp_path).all_tasks


@pytest.mark.parametrize("task", TASKS)
def test_the_changelog_names_the_version(task: str) -> None:
    folder = ROOT / "eval_tasks" / task.removesuffix("_paper")
    version = load_yaml(folder / f"{task}.yaml")["metadata"]["version"]
    assert f"`{task}` {version}" in (folder / "README.md").read_text().partition("## Changelog")[2]


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted({*TASKS} - {OWN_TASK}))
def test_gold_answers_score_one_and_wrong_answers_zero(task: str, full_release: Path) -> None:
    filters = ["paper"] if task.endswith("_paper") else ["strict-match", "flexible-extract"]
    metrics = ["exact_match", "no_answer", *(["timed_out"] if "math" in task else [])]
    for answer, exact in ((own_gold, 1), (other_gold, 0)):
        scores = _evaluate(Writer(answer), task, full_release)[task]
        assert scores == {f"{m},{f}": exact if m == "exact_match" else 0 for m in metrics for f in filters}


def test_a_group_averages_over_tasks_not_over_questions(stand_in_release: Path) -> None:
    def only_svamp(index: int, docs: list[Row]) -> str:
        return own_gold(index, docs) if docs[index]["benchmark"] == "svamp" else "none of these"

    results = _evaluate(Writer(only_svamp), "cot_distill", stand_in_release)
    assert set(results) == {"cot_distill", "cot_math_reasoning", "cot_commonsense", *REASONING, *COMMONSENSE}
    for name, accuracy in (("cot_distill", 1 / 7), ("cot_math_reasoning", 1 / 4), ("cot_commonsense", 0)):
        expected = {f"exact_match,{f}": accuracy for f in ("strict-match", "flexible-extract")}
        assert {key: results[name][key] for key in expected} == pytest.approx(expected, rel=1e-12)
        assert results[name]["no_answer,strict-match"] == pytest.approx(1 - accuracy, rel=1e-12)


def test_groups_have_the_same_tasks_in_reports_as_in_lm_eval(stand_in_release: Path) -> None:
    loaded = _manager(stand_in_release).load(["cot_distill"])["groups"]
    members = {name: [task.task_name for task in group.get_all_tasks()] for name, group in loaded.items()}
    assert members == {
        "cot_math_reasoning": REASONING,
        "cot_commonsense": COMMONSENSE,
        "cot_distill": REASONING + COMMONSENSE,
    }
    assert tasks.groups() == members
    assert list(tasks.groups())[-1] == "cot_distill"  # tables show a group after its subgroups


def test_lm_eval_lists_our_tasks_and_ignores_the_metric_beside_them() -> None:
    code = (
        "import sys\n"
        "from lm_eval.tasks import TaskManager\n"
        f"manager = TaskManager(include_path={str(ROOT / 'eval_tasks')!r}, include_defaults=False)\n"
        "print(*sorted(manager.all_tasks))\n"
        "sys.exit(any('cot_answer_match' in name for name in sys.modules))\n"
    )
    process = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], text=True, capture_output=True)
    assert process.returncode == 0, process.stderr
    groups = ["cot_commonsense", "cot_distill", "cot_math_reasoning"]
    assert process.stdout.split() == sorted([*TASKS, *groups])
    assert "cot_answer_match" not in process.stderr


@pytest.mark.parametrize("task", [task for task in TASKS if split_for_task(task) in STAND_IN_SPLITS])
def test_every_task_sends_the_prompt_of_training_without_sampling(task: str, stand_in_release: Path) -> None:
    model = Writer(own_gold)
    _evaluate(model, task, stand_in_release, limit=20)
    for request in model.seen:
        prompt, generation = request.args
        assert prompt == request.doc["prompt"][0]["content"]
        assert (generation["do_sample"], generation["temperature"]) == (False, 0.0)
        assert generation.get("num_beams", 1) == (5 if task.endswith("_paper") else 1)


@pytest.mark.parametrize("benchmark", ["aqua", "csqa", "obqa"])
def test_options_have_the_same_layout_in_tasks_and_training_rows(benchmark: str, stand_in_release: Path) -> None:
    test = tasks.rows(benchmark, release=str(stand_in_release))["test"]
    train = load_rows(f"answer-{benchmark}", str(stand_in_release))
    for row in [*test, *train]:
        options = "".join(f"\n{letter}. {choice}" for letter, choice in zip("ABCDE", row["choices"]))
        assert row["prompt"] == [{"role": "user", "content": f"{row['question']}\nAnswer choices:{options}"}]
        assert len(row["choices"]) in (4, 5)


def test_a_missing_test_split_is_named_with_the_command_that_builds_it(project_dir: Path) -> None:
    with pytest.raises(CotDistillError, match=r"`eval-svamp`.*`cot-distill build --benchmarks DIR`"):
        tasks.rows("svamp", release=str(project_dir / "eit/cot-distill"))
    with pytest.raises(CotDistillError, match="nowhere"):
        tasks.rows("svamp", release="nowhere")


def test_only_the_strict_filter_requires_the_closing_sentence() -> None:
    doc = {"benchmark": "arith", "answer": "1450"}
    responses, docs = [["So 1,450.0 pens."], ["The answer is $1,450."], ["No idea."]], [doc] * 3
    assert tasks.strict_match(responses, docs) == ["", "1450", ""]
    assert tasks.flexible_extract(responses, docs) == ["1450", "1450", ""]
    assert tasks.process_results(doc, ["1450"]) == {"exact_match": 1, "no_answer": 0}
    assert tasks.process_results(doc, [""]) == {"exact_match": 0, "no_answer": 1}


def test_a_comparison_that_times_out_is_wrong_and_counted() -> None:
    doc = {"benchmark": "math", "answer": r"\frac{\sqrt{3}}{7}"}
    correct = {"exact_match": 1, "no_answer": 0, "timed_out": 0}
    assert tasks.process_math_results(doc, [r"\sqrt{3}/7"]) == correct
    assert tasks.process_math_results(doc, [""]) == {"exact_match": 0, "no_answer": 1, "timed_out": 0}
    too_long = {"exact_match": 0, "no_answer": 0, "timed_out": 1}
    assert tasks.process_math_results(doc, [r"\sum_{k=1}^{1000000000} \sin(k)"]) == too_long


def test_the_limit_of_an_answer_is_the_tasks_own_or_of_the_file_it_includes() -> None:
    assert {task: tasks.generation_limit(task) for task in ("cot_arith", "cot_csqa_paper")} == {
        "cot_arith": 224,
        "cot_csqa_paper": 640,
    }


def test_the_paper_variant_takes_the_first_match_of_the_scripts_regex() -> None:
    (filter_,) = load_yaml(ROOT / "eval_tasks/cot_csqa/cot_csqa_paper.yaml")["filter_list"]
    function, *_ = filter_["filter"]
    regex = RegexFilter(**{key: value for key, value in function.items() if key != "function"})
    responses = ["the answer is A. No, the answer is B", "The answer is False", "The answer is (A)", "So B."]
    assert regex.apply([responses], [{}]) == [["A", "False", "", ""]]


@pytest.mark.slow
def test_the_lm_eval_command_works_from_any_folder(project_dir: Path) -> None:
    command = (
        f"lm_eval --tasks cot_arith --model hf --model_args pretrained={project_dir}/runs/demo/untrained "
        "--apply_chat_template --batch_size 8 --limit 8 --device cpu --gen_kwargs max_gen_toks=8 "
        "--output_path results --log_samples"
    )
    process = subprocess.run(
        command.split(), executable=BIN / "lm_eval", cwd=project_dir, text=True, capture_output=True
    )
    assert "|cot_arith|" in process.stdout, process.stderr
    (samples,) = project_dir.glob("results/*/samples_cot_arith_*.jsonl")
    sample = json.loads(samples.read_text().splitlines()[0])
    prompt = sample["arguments"]["gen_args_0"]["arg_0"]
    assert prompt == f"<|im_start|>user\n{sample['doc']['question']}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("folder", "named"), [(None, "the Hub has no `eval-svamp`"), ("eit/cot-distill", "is not a release")]
)
def test_missing_test_splits_are_one_sentence(
    folder: str | None, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if folder:
        Path(folder).mkdir(parents=True)
        Path(folder, "notes.txt").write_text("x")
    with pytest.raises(CotDistillError, match=named) as error:
        tasks.rows("svamp")
    assert "eit/cot-distill" in str(error.value) and "\n" not in str(error.value)
