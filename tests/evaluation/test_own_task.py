"""The task of a user's own question set: `cot_own` for lm-eval, `cot_NAME` for `cot-distill evaluate` and studies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
from lm_eval.tasks import TaskManager
from support import ROOT, own_rows
from writer import Writer, own_gold

from cot_distill_datasets import CotDistillError
from cot_distill_datasets.chat import OWN_TASK, stop_strings
from cot_distill_datasets.cli import main
from cot_distill_datasets.evaluation import tasks
from cot_distill_datasets.evaluation.results import Student, _own_benchmark, read_scores
from cot_distill_datasets.evaluation.run import EvaluationConfig, _load_tasks
from cot_distill_datasets.studies.plan import make_plan
from cot_distill_datasets.studies.study import load_study
from cot_distill_datasets.training.models import write_untrained_demo


KINDS: dict[str, list[tuple[str, str]]] = {
    "number": [("2 pens and 3 more?", "5"), ("2 pens less 1?", "1")],
    "boolean": [("Is it so?", "True"), ("Is it not so?", "no")],
    "math": [("What is half of x?", "\\frac{x}{2}"), ("What is x?", "x")],
    "choice": [("Where? Answer choices: (A) den (B) sea", "B"), ("Who? Answer choices: (A) I (B) you", "A")],
}


def _build(folder: Path, source: str, *more: str) -> None:
    command = ["build", "--rows", source, "--teacher", "qwen3", "--granularity", "l3", "--out", str(folder)]
    assert main([*command, "--benchmark", "shop", "--answer-kind", *more]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_own_answers_of_each_kind_are_scored(kind: str, tmp_path: Path, few_problems: None) -> None:
    texts = [*KINDS[kind], *((f"Again: {q}", a) for q, a in KINDS[kind])]
    rows = [{"prompt": q, "completion": f"So. The answer is {a}", "answer": a} for q, a in texts]
    rows += [{"prompt": f"Again: {q}", "completion": f"So. The answer is {a}", "answer": a} for q, a in KINDS[kind]]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _build(tmp_path / "release", str(tmp_path / "own.jsonl"), kind, "--test-rows", "3")
    metadata = {"release": str(tmp_path / "release"), "benchmark": "shop"}
    manager = TaskManager(include_path=str(ROOT / "eval_tasks"), include_defaults=False, metadata=metadata)
    for answer, accuracy in ((own_gold, 1.0), (lambda index, docs: "zero", 0.0)):
        scores = lm_eval.evaluate(Writer(answer), manager.load([OWN_TASK]), log_samples=False)["results"][OWN_TASK]
        for name in ("strict-match", "flexible-extract"):
            assert (scores[f"exact_match,{name}"], scores[f"timed_out,{name}"]) == (accuracy, 0)
            assert kind == "math" or scores[f"no_answer,{name}"] == 1 - accuracy


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_problems: None) -> Path:
    """A folder with a release of own questions, 6 of them held out, and an untrained demo student."""
    monkeypatch.chdir(tmp_path)
    _build(Path("eit/cot-distill"), own_rows("solutions.jsonl", range(40)), "number", "--test-rows", "6")
    write_untrained_demo(Path("runs/demo/untrained"))
    return tmp_path


def test_own_task_is_loaded_by_the_name_of_its_benchmark(shop: Path) -> None:
    loaded = _load_tasks(["cot_shop", "cot_arith"], EvaluationConfig(backend="hf"))
    assert {name: task.task_name for name, task in loaded.items()} == {
        "cot_shop": "cot_shop",
        "cot_arith": "cot_arith",
    }
    assert len(loaded["cot_shop"].test_docs()) == 6
    assert stop_strings("shop") == stop_strings("arith")
    assert tasks.generation_limit("cot_shop") == 768
    for name, near in (("cot_shops", "`cot_shop`"), (OWN_TASK, "`cot_"), ("cot_gsm", "`cot_gsm8k`")):
        with pytest.raises(CotDistillError, match=f"Unknown task `{name}`: use {near}"):
            _load_tasks([name], EvaluationConfig(backend="hf"))


@pytest.mark.parametrize("benchmark", ["gsm8k", "math500", "../x", "", None])
def test_results_of_the_own_task_are_those_of_an_own_benchmark(benchmark: str | None) -> None:
    with pytest.raises((ValueError, TypeError)):  # which `read_score` reports with the file
        _own_benchmark({"configs": {OWN_TASK: {"metadata": {"benchmark": benchmark}}}})


@pytest.mark.parametrize(("benchmark", "named"), [("", "''"), ("shops", "'shops'"), ("shop", "")])
def test_a_benchmark_that_the_release_lacks_is_named_with_those_it_has(shop: Path, benchmark: str, named: str) -> None:
    if benchmark == "shop":
        _build(Path("other"), "solutions.jsonl", "number")
        with pytest.raises(CotDistillError, match="`--test-rows`"):
            tasks.rows(benchmark, release="other")
        return
    with pytest.raises(CotDistillError, match=f'{named} is not one: pass .*"benchmark".* with `shop`'):
        tasks.rows(benchmark)


def test_a_study_of_own_configs_is_planned_with_their_answers_as_baseline(shop: Path) -> None:
    study = {"students": ["demo"], "configs": ["qwen3-l3-shop"], "seeds": [1], "backend": "hf", "threads": 1}
    Path("shop.yaml").write_text(json.dumps(study | {"tasks": ["cot_shop", "cot_arith"]}))
    plan = make_plan(load_study(Path("shop.yaml")), Path("out"))
    assert {planned.cell.config for planned in plan.cells} == {"qwen3-l3-shop", "answer-shop", "untrained"}
    assert {task for planned in plan.cells for task in planned.records} == {"cot_shop", "cot_arith"}
    _build(Path("untested"), "solutions.jsonl", "number")
    rejected = {"unknown task 'cot_own'": {"tasks": ["cot_own"]}, "--test-rows": {"dataset": "untested"}}
    for reason, settings in rejected.items():
        Path("shop.yaml").write_text(json.dumps(study | settings))
        with pytest.raises(CotDistillError, match=reason):
            load_study(Path("shop.yaml"))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "cot_distill_datasets.cli"] if command[0] == "cot-distill" else []
    program = program or [str(Path(sys.executable).parent / command[0])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run([*program, *command[1:]], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.slow
def test_a_student_of_own_rows_is_trained_evaluated_and_described(shop: Path) -> None:
    student = "runs/demo/qwen3-l3-shop/seed100"
    _run("cot-distill", "train", "--dataset_config", "qwen3-medium-shop", "--max_steps", "2")
    provenance = json.loads(Path(student, "provenance.json").read_text())
    assert provenance["own_benchmark"] == {"answer_kind": "number", "license": "unknown", "home": "solutions.jsonl"}
    assert not any("completions do not end" in warning for warning in provenance["warnings"])
    _run("cot-distill", "evaluate", student, "--tasks", "cot_shop", "--backend", "hf")
    card = Path(student, "README.md").read_text()
    assert "cot-distill evaluate runs/demo/qwen3-l3-shop/seed100 --tasks cot_shop --backend hf" in card
    assert 'lm_eval --tasks cot_own --metadata \'{"benchmark": "shop"}\'' in card
    assert "huggingface.co/datasets/eit/cot-distill`" not in card
    metadata = json.dumps({"benchmark": "shop"})
    _run(
        "lm_eval", "--tasks", "cot_own", "--metadata", metadata, "--model", "hf", "--model_args",
        f"pretrained={student}", "--device", "cpu", "--apply_chat_template", "--gen_kwargs", "max_gen_toks=8",
        "--log_samples", "--output_path", f"{student}/results",
    )  # fmt: skip
    (score,) = read_scores(Student.open(Path(student)))
    assert (score.task, score.n) == ("cot_shop", 6)
    assert "--tasks cot_own" in score.command and '\'{"benchmark": "shop"}\'' in score.command
    assert "cot_shop" in _run("cot-distill", "report", student).stdout
