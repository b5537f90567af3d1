"""`cot-distill compare` on files that lm-eval itself wrote, of a task that is not ours."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.api.model import LM
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

from cot_distill_datasets.cli import main


QUESTIONS = 60
TASKS = {
    "adds": "output_type: generate_until\ndoc_to_target: '{{sum}}'\ngeneration_kwargs: {until: ['\\n']}\n"
    "metric_list: [{metric: exact_match}]",
    "chooses": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: 1\n"
    "metric_list: [{metric: acc}, {metric: acc_norm}]",
}


class _Model(LM):
    """A model that answers `right` of the questions, and the others with `wrong`."""

    def __init__(self, right: Sequence[int], wrong: str) -> None:
        super().__init__()
        self.right, self.wrong = {f"{n} + 1 =" for n in right}, wrong

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
        prompts = [request.args[0] for request in requests]
        return [str(int(text.split()[0]) + 1) if text in self.right else self.wrong for text in prompts]

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        wanted = [(text in self.right) == (choice != " 0") for text, choice in (request.args for request in requests)]
        return [(-1.0 if is_wanted else -9.0, is_wanted) for is_wanted in wanted]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> TaskManager:
    """Two tasks of the bare lm-eval with the same 60 questions."""
    folder = tmp_path_factory.mktemp("tasks")
    lines = [json.dumps({"text": f"{n} + 1 =", "sum": n + 1, "choices": ["0", str(n + 1)]}) for n in range(QUESTIONS)]
    (folder / "questions.jsonl").write_text("\n".join(lines))
    data = {"data_files": {"test": str(folder / "questions.jsonl")}, "cache_dir": str(folder / "cache")}
    for name, lines_of_task in TASKS.items():
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {json.dumps(data)}\ntest_split: test\n"
            f"doc_to_text: '{{{{text}}}}'\nmetadata: {{version: 2.0}}\n{lines_of_task}\n"
        )
    return TaskManager(include_path=str(folder), include_defaults=False)


def _write(folder: Path, tasks: TaskManager, model: _Model, names: Sequence[str], limit: int | None = None) -> Path:
    """Write the results of a model as `lm_eval --log_samples --output_path FOLDER` does."""
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.log_experiment_args("hf", f"pretrained=org/{folder.name}", None, None, False)
    results = lm_eval.simple_evaluate(model, tasks=list(names), task_manager=tasks, limit=limit, bootstrap_iters=0)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name in names:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tasks: TaskManager) -> Path:
    """Results of two models: A answers 30 of 60 questions, B 28 of those and 12 others."""
    folder = tmp_path_factory.mktemp("results")
    _write(folder / "a", tasks, _Model(range(30), "no idea"), list(TASKS))
    _write(folder / "b", tasks, _Model(range(2, 42), "\x1b[31m<script>|`x`\u202e"), list(TASKS))
    _write(folder / "few", tasks, _Model(range(30), "no idea"), ["adds"], limit=50)
    return folder


@pytest.fixture
def results(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the results, for a test to change, as the current folder."""
    folder = Path(shutil.copytree(written, tmp_path / "results"))
    monkeypatch.chdir(folder)
    return folder


def _compare(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    assert main(["compare", *args, "--format", "json"]) == 0
    tasks: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["tasks"]
    return tasks


def _rejected(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Return the one line that rejects the results, with exit code 2."""
    assert main(["compare", *args]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    return output.err


def _change(folder: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply `change` to the results file or to each sample of the files `name` in a folder."""
    for path in Path(folder).rglob(name):
        lines = path.read_text().split("\n")[:-1] if path.suffix == ".jsonl" else [path.read_text()]
        values = [json.loads(line) for line in lines]
        for value in values:
            change(value)
        path.write_text("".join(json.dumps(value) + "\n" for value in values))


def test_every_task_of_both_is_compared_by_question(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """p of 2 against 12 flips: 2 × (1 + 14 + 91) / 2^14, and twice that by Holm for two tasks."""
    comparisons = _compare(capsys, "a", "b")
    assert [(c["task"], c["metric"], c["version"]) for c in comparisons] == [
        ("adds", "exact_match", 2.0),
        ("chooses", "acc", 2.0),
    ]
    for comparison in comparisons:
        assert (comparison["accuracy_a"], comparison["accuracy_b"]) == (30 / 60, 40 / 60)
        assert (comparison["only_a"], comparison["only_b"], comparison["questions"]) == (2, 12, 60)
        assert comparison["difference"] == pytest.approx(10 / 60)
        assert comparison["p"] == pytest.approx(2 * 106 / 2**14)
        assert comparison["adjusted_p"] == pytest.approx(4 * 106 / 2**14)
        error = (15 - 100 / 62) ** 0.5 / 62  # Agresti & Min: 14 flips and one more, of 62 questions
        assert comparison["interval"] == pytest.approx([10 / 60 - 1.959964 * error, 10 / 60 + 1.959964 * error])
        assert comparison["detectable"] == pytest.approx((2.241403 + 0.841621) * error)
        assert (comparison["verdict"], comparison["different_settings"]) == ("better", {})


def test_the_other_way_around_is_worse_and_fails_on_request(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [main(["compare", *args]) for args in (["b", "a"], ["b", "a", "--fail-if-worse"])] == [0, 1]
    assert main(["compare", "a", "b", "--fail-if-worse"]) == 0
    assert main(["compare", "a", "few", "--fail-if-worse"]) == 2
    assert "**worse**" in capsys.readouterr().out


@pytest.mark.parametrize(("margin", "verdict"), [("3", "cannot tell"), ("10", "same within ±10")])
def test_equal_answers_are_the_same_only_within_a_margin_that_the_questions_can_show(
    margin: str, verdict: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [c["verdict"] for c in _compare(capsys, "a", "a", "--margin", margin)] == [verdict] * 2


def test_a_metric_can_be_chosen(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        for path in Path(folder).rglob("samples_adds_*"):
            path.unlink()
        _change(folder, "results_*.json", lambda result: result["n-samples"].pop("adds"))
    (comparison,) = _compare(capsys, "a", "b", "--metric", "acc_norm")
    assert comparison["metric"] == "acc_norm"
    assert "`acc_norm`" in _rejected(capsys, "a", "b", "--metric", "acc_nrm")


def test_a_metric_that_is_better_if_lower_is_not_compared(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        _change(folder, "results_*.json", lambda result: result["higher_is_better"]["adds"].update(exact_match=False))
    assert "`adds`" in _rejected(capsys, "a", "b")


def test_flips_are_shown_side_by_side_as_text(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a", "b", "--flips"]) == 0
    page = capsys.readouterr().out
    assert page.count("only A is correct\n") == 4 and page.count("only B is correct\n") == 24
    lines = [line for line in page.splitlines() if "<script>" in line]
    assert len(lines) == 2  # the generated answers to questions 0 and 1
    assert {line.partition(" | ")[2] for line in lines} == {"\\x1b[31m<script>|`x`\\u202e"}
    assert all(line.startswith("    ") and line.isprintable() for line in lines)  # a code block of Markdown
    assert "       -9.000  0" in page and "       -1.000  1" in page  # the log-likelihood of each choice


def test_the_json_has_the_flips_on_request(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "flips" not in _compare(capsys, "a", "b")[0]
    flips = _compare(capsys, "a", "b", "--flips")[0]["flips"]
    assert len(flips) == 14
    assert flips[0] == {
        "id": "0", "question": "0 + 1 =", "target": "1", "correct": "A", "a": "1", "b": "\x1b[31m<script>|`x`\u202e",
    }  # fmt: skip


def test_the_run_with_the_most_questions_is_used_then_the_newest(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in Path("few").rglob("*_*"):
        if path.is_file():
            shutil.copy(path, next(Path("a").rglob("results_*")).parent)
    _change("a", "results_*.json", lambda result: result.update(model_name="org/a"))
    assert _compare(capsys, "a", "b")[0]["questions"] == QUESTIONS


def test_a_results_file_can_be_passed_instead_of_a_folder(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (a,), (b,) = Path("a").rglob("results_*.json"), Path("b").rglob("results_*.json")
    assert _compare(capsys, str(a), str(b)) == _compare(capsys, "a", "b")


def test_different_settings_are_shown(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change("b", "results_*.json", lambda result: result["n-shot"].update(adds=4))
    assert _compare(capsys, "a", "b")[0]["different_settings"] == {"n-shot": [0, 4]}
    assert main(["compare", "a", "b"]) == 0
    assert "n-shot `0` for A and `4` for B" in capsys.readouterr().out


def _delete_samples() -> None:
    next(Path("b").rglob("samples_adds_*")).unlink()


def _repeat_samples() -> None:
    path = next(Path("b").rglob("samples_adds_*"))
    path.write_text(path.read_text() * 2)


def _other_task() -> None:
    _change("b", "results_*.json", lambda result: result.update({"n-samples": {"other": {"effective": 60}}}))


def _write_everywhere(text: str, name: str) -> Callable[[], None]:
    def write() -> None:
        for path in Path("b").rglob(name):
            path.write_text(text)

    return write


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_delete_samples, "`--log_samples`"),
        (_other_task, "`other`"),
        (lambda: shutil.rmtree("b"), "results in b"),
        (lambda: shutil.copytree("a", "b", dirs_exist_ok=True), "2 models"),
        (lambda: _change("b", "results_*", lambda r: r["versions"].update(adds="\x1b[2J")), r"'\x1b[2J'"),
        (lambda: _change("b", "results_*", lambda r: r.update({"n-samples": [1]})), "results_"),
        (lambda: _change("b", "results_*", lambda r: r.update({"n-shot": 0})), "results_"),
        (lambda: _change("b", "samples_*", lambda s: s["doc"].update(text="another question")), "0 are the same"),
        (lambda: _change("b", "samples_*", lambda s: s.update(exact_match=0.5, acc=0.5)), "`adds`"),
        (lambda: _change("b", "samples_*", lambda s: s.pop("exact_match", s.pop("acc", 0))), "samples_adds_"),
        (lambda: _change("b", "samples_*", lambda s: s.update(resps=[])), "samples_adds_"),
        (lambda: _change("b", "samples_*", lambda s: s.update(filter="\x1b")), r"`none`"),
        (_repeat_samples, "samples_adds_"),
        (_write_everywhere("", "samples_*"), "samples_adds_"),
        (_write_everywhere('{"doc_id": 0', "samples_*"), "samples_adds_"),
        (_write_everywhere("[" * 100_000, "samples_*"), "samples_adds_"),
        (_write_everywhere('{"results": {}', "results_*"), "results_"),
        (_write_everywhere("[" * 100_000, "results_*"), "results_"),
    ],
)
def test_bad_results_are_rejected_with_one_sentence(
    damage: Callable[[], Any], named: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage()
    error = _rejected(capsys, "a", "b")
    assert named in error
    assert error.strip().isprintable()


def test_different_numbers_of_questions_are_rejected(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = _rejected(capsys, "a", "few")
    assert "60" in error and "50" in error
