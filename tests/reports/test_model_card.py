"""The model card of a student: its content, its quick start, and the files that the Hub reads beside it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, parse_eval_result_entries
from huggingface_hub.utils import validate_repo_id
from lm_eval._cli.harness import HarnessCLI
from PIL import Image
from support import make_provenance
from transformers.trainer_utils import SchedulerType

from cot_distill_datasets.cli import main, make_parser
from cot_distill_datasets.evaluation.results import Student
from cot_distill_datasets.evaluation.run import EvaluationConfig, evaluate
from cot_distill_datasets.evaluation.scores import Score
from cot_distill_datasets.licenses import base_license
from cot_distill_datasets.provenance import Provenance
from cot_distill_datasets.reports.figures import draw_loss
from cot_distill_datasets.reports.model_card import model_name, write_model_card


RUN = Path("runs/demo/oracle-l3-arith/seed100")
SCORE = Score(
    student=RUN, task="cot_gsm8k", version=1.1, n=200, limit=None, correct=150, flexible_correct=160,
    no_answer=4, truncated=8, finished_correct=150, timed_out=0, mean_output_tokens=21.5, estimated=False,
    command=f"cot-distill evaluate {RUN} --tasks cot_gsm8k", prompt="2 + 2?", gold="4", answer="The answer is 4",
)  # fmt: skip


@pytest.fixture
def student(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A student's folder after training, relative to the working directory of the training."""
    monkeypatch.chdir(tmp_path)
    for copy in (RUN, "runs/demo/untrained"):
        shutil.copytree(project_dir / "runs/demo/untrained", copy, ignore=shutil.ignore_patterns("results"))
    return RUN


def _write_provenance(student: Path, **values: Any) -> Provenance:
    template = sha256((student / "chat_template.jinja").read_bytes()).hexdigest()
    demo = {
        "base_model": "runs/demo/untrained",
        "base_is_on_hub": "base_model" in values,
        "config": "oracle-l3-arith",
        "chat_template_sha256": template,
    }
    provenance = make_provenance(**demo | values)
    provenance.write(student)
    return provenance


def _write_card(student: Path, *scores: Score, **values: Any) -> ModelCard:
    return ModelCard.load(write_model_card(_write_provenance(student, **values), student, scores))


def _quick_start(card: ModelCard) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    return code


def test_the_card_describes_how_the_student_was_trained(student: Path) -> None:
    settings = {"effective_batch_size": 64, "learning_rate": 5e-5, "lr_scheduler_type": SchedulerType.COSINE}
    card = _write_card(
        student, base_model="org/base", config="0.2*gpt4o-fine-svamp+0.8*new_teacher-coarse-svamp", train_examples=693,
        steps=33, settings=settings, lora={"lora_r": 16, "lora_alpha": 8}, hardware="4 H100", recipe="/home/me/x.yaml",
        warnings=["5 of 8 answers did not end."], tokens_seen=123456, versions={"trl": "1.16.0"},
        dataset_revision="paper",
    )  # fmt: skip
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["datasets"], data["license"]) == (
        "org/base", "finetune", "eit/cot-distill", "unknown",
    )  # fmt: skip
    assert (data["library_name"], data["pipeline_tag"], data["language"]) == ("transformers", "text-generation", "en")
    assert "model-index" not in data and "model_name" not in data and "## Results" not in card.text
    for text in (
        "[`org/base`](https://huggingface.co/org/base) fine-tuned on 693 rows of",
        "> **Warning:** 5 of 8 answers did not end.",
        "| `gpt4o-l5-svamp` | 0.2 | GPT-4o | l5 | from the Hub |",
        "| learning_rate | 5e-05 |\n| lr_scheduler_type | cosine |\n| lora_r | 16 |\n| lora_alpha | 8 |",
        "| rows | 693 |\n| rows seen, all epochs | 2079 |",
        "| tokens seen, all epochs | 123,456 |",
        "| hardware | 4 H100; 1 process |",
        "| trl | 1.16.0 |",
        "| recipe | x.yaml |",
        "| SHA-256 of all arguments, rows and template | `1111111111111111…` |",
        "LoRA, merged into the weights.",
        "![Loss of each logged step](loss.png)",
        "edition `paper`, which includes test questions: scores on `cot_svamp`",
        "| GPT-4o (`gpt4o`) | OpenAI Terms of Use (openai.com/policies) |",
        "| a model (`new_teacher`) | not known",
        "under its license: look it up before you publish",
    ):
        assert text in card.text


def test_a_local_path_is_not_in_the_card(student: Path) -> None:
    command = f"cot-distill evaluate {student.absolute()} --tasks cot_arith"
    score = replace(SCORE, student=student.absolute(), command=command)
    values = {"dataset": "own", "dataset_is_on_hub": False}
    text = write_model_card(_write_provenance(student, **values), student.absolute(), [score]).read_text()
    assert str(Path.cwd()) not in text
    assert "the folder `own`" in text and "from the Hub" not in text and "Hub revision" not in text


def test_the_card_contains_the_template_byte_for_byte(student: Path) -> None:
    (student / "chat_template.jinja").write_text("{{ messages }}```\n{# <|im_end|> & é #}")
    card = _write_card(student)
    assert "````jinja\n{{ messages }}```\n{# <|im_end|> & é #}\n````\n" in card.text


@pytest.mark.slow
def test_the_quick_start_runs_unchanged(student: Path) -> None:
    code = _quick_start(_write_card(student))
    assert 'model = "runs/demo/oracle-l3-arith/seed100"' in code
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout) > 100  # an untrained student never generates an EOS token


@pytest.mark.parametrize(
    ("benchmark", "question"),
    [
        ("svamp", "How many"),
        ("csqa", r"\nAnswer choices:\nA. "),
        ("strategyqa", "Could"),
        ("math", r"$3^4 - 2 \\cdot 5$"),
    ],
)
def test_the_quick_start_asks_a_question_of_the_training_benchmark(
    benchmark: str, question: str, student: Path
) -> None:
    code = _quick_start(_write_card(student, config=f"answer-{benchmark}"))
    compile(code, "card", "exec")
    assert question in code


@pytest.mark.parametrize("repo_id", [None, "me/x"])
def test_every_command_of_the_card_reads_the_folder_or_the_repo_and_the_task(
    repo_id: str | None, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = student.rename(student.with_name("lr=1e-4, seed 100"))
    text = write_model_card(_write_provenance(moved), moved, (), repo_id).read_text()
    words = [shlex.split(line) for line in text.splitlines() if line.startswith(("cot-distill ", "lm_eval ", "hf "))]
    commands = {line[1] if line[0] == "cot-distill" else line[0]: line[1:] for line in words}
    evaluate, folder = make_parser().parse_args(commands["evaluate"]), repo_id or str(moved)
    monkeypatch.setattr("sys.argv", ["lm_eval", *commands["lm_eval"]])
    harness = HarnessCLI().parse_args()
    assert (evaluate.students, evaluate.tasks) == ([Path(folder)], ["cot_arith"])
    assert (harness.model_args, harness.output_path) == ({"pretrained": folder}, f"{folder}/results")
    if repo_id:
        assert commands["hf"] == ["download", "me/x", "--local-dir", "me/x"] and "publish-student" not in commands
    else:
        publish = make_parser().parse_args(commands["publish-student"])
        assert (publish.students, publish.repo_id) == ([moved], "USER/demo-oracle-l3-arith")


def test_a_published_card_names_the_repo_and_no_folder(student: Path) -> None:
    evaluate = f"cot-distill evaluate {RUN} --tasks cot_aqua"
    bare = shlex.join(["lm_eval", "--model_args", json.dumps({"pretrained": str(RUN)})])
    scores = [replace(SCORE, command=f"{evaluate} --release /data/out --backend hf"), replace(SCORE, command=bare)]
    card = ModelCard.load(write_model_card(_write_provenance(student), student, scores, "me/x"))
    assert str(RUN) not in card.text and 'model = "me/x"\n' in _quick_start(card)
    assert "\ncot-distill evaluate me/x --tasks cot_aqua --backend hf\n" in card.text
    assert """\nlm_eval --model_args '{"pretrained": "me/x"}'\n""" in card.text


# Source: the Hub's page of licenses.
HUB_LICENSES = {"llama3.2", "gemma", "bigscience-bloom-rail-1.0", "apache-2.0"}


@pytest.mark.parametrize(
    ("base", "license_id", "name", "text"),
    [
        ("meta-llama/Llama-3.2-1B", "llama3.2", "Llama-3.2-1B-gpt4o-l5-svamp", "**Built with Llama.**"),
        ("runs/base/llama-3.2-3b", "llama3.2", "Llama-3.2-3b-gpt4o-l5-svamp", "acceptable use policy"),
        ("google/gemma-2b", "gemma", "gemma-2b-gpt4o-l5-svamp", "prohibited use policy"),
        ("google/gemma-3-270m", "gemma", "gemma-3-270m-gpt4o-l5-svamp", "found at ai.google.dev/gemma/terms"),
        ("bigscience/bloom-560m", "bigscience-bloom-rail-1.0", "bloom-560m-gpt4o-l5-svamp", "Attachment A"),
        (
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "apache-2.0",
            "SmolLM2-135M-Instruct-gpt4o-l5-svamp",
            "Apache License 2.0",
        ),
    ],
)
def test_the_card_has_the_license_of_the_base_model_and_its_requirements(
    base: str, license_id: str, name: str, text: str, student: Path
) -> None:
    card = _write_card(student, base_model=base, config="gpt4o-l5-svamp")
    assert card.data.license == license_id and license_id in HUB_LICENSES
    assert card.text.lstrip().startswith(f"# {name}\n") and text in card.text
    notice = student / "NOTICE"
    assert notice.is_file() == (license_id in ("llama3.2", "gemma"))
    assert not notice.is_file() or notice.read_text().strip() in card.text


def test_gemma_4_does_not_have_the_license_of_earlier_gemmas() -> None:
    assert base_license("google/gemma-4-e2b") is None


def test_a_demo_student_has_our_license_and_no_base_model_on_the_hub(student: Path) -> None:
    card = _write_card(student)
    assert card.text.lstrip().startswith("# demo-oracle-l3-arith\n")
    assert card.data.license == "apache-2.0" and "base_model" not in card.data.to_dict()


def test_a_model_name_is_valid_on_the_hub() -> None:
    provenance = make_provenance(
        base_model="HuggingFaceTB/SmolLM2-135M-Instruct", config="0.2*gpt4o-l5-rar-strategyqa+0.8*gpt4o-l1-strategyqa"
    )
    validate_repo_id(f"user/{model_name(provenance)}")


def test_the_card_has_the_scores_with_intervals_and_commands(student: Path) -> None:
    timed_out = replace(SCORE, task="cot_math", timed_out=3, estimated=True, command="lm_eval --tasks cot_math")
    card = _write_card(student, SCORE, timed_out)
    assert (
        "| demo-oracle-l3-arith | cot_gsm8k | 200 | 75.0% | 68.6 – 80.5 | 80.0% | 2.0% | 4.0% | 78.1% | 21.5 |"
        in card.text
    )
    assert f"```bash\n{SCORE.command}\nlm_eval --tasks cot_math\n```" in card.text
    assert "≈ Estimated" in card.text and "demo-oracle-l3-arith, `cot_math`: 3 LaTeX comparisons" in card.text


def test_the_hub_library_reads_the_model_index(student: Path) -> None:
    card = _write_card(
        student, SCORE, replace(SCORE, task="cot_csqa"), replace(SCORE, task="cot_csqa_paper", correct=0)
    )
    assert card.data.model_name == "demo-oracle-l3-arith"
    first, second, third = card.data.eval_results
    assert first == EvalResult(
        task_type="text-generation", dataset_type="eit/cot-distill", dataset_name="CoT-Distill, eval-gsm8k",
        dataset_config="eval-gsm8k", dataset_split="test", metric_type="exact_match",
        metric_name="accuracy on cot_gsm8k, %", metric_value=75.0,
        metric_args={"task_version": 1.1, "n": 200, "interval_95": [68.57, 80.49], "command": SCORE.command},
    )  # fmt: skip
    assert [(result.metric_name, result.metric_value) for result in (second, third)] == [
        ("accuracy on cot_csqa, %", 75.0),
        ("accuracy on cot_csqa_paper, %", 0.0),
    ]
    assert [len(result["metrics"]) for result in card.data.to_dict()["model-index"][0]["results"]] == [1, 2]


def test_the_leaderboard_entry_of_gsm8k_exists_only_with_a_gsm8k_score(student: Path) -> None:
    path = student / ".eval_results/gsm8k.yaml"
    _write_card(student, replace(SCORE, task="cot_svamp"))
    assert not path.exists()
    _write_card(student, SCORE)
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "gsm8k", 75.0)
    assert entry.notes == (
        "lm-evaluation-harness, task cot_gsm8k 1.1: zero-shot, greedy, strict match; n = 200, 95% interval 68.57 – "
        f"80.49; {SCORE.command}"
    )
    _write_card(student)
    assert not path.exists()


def _remove_limit(student: Path) -> None:
    """Change the results of two questions to those of a task that has only two: all 500 would take a minute."""
    (path,) = student.rglob("results_*.json")
    result = json.loads(path.read_text())
    result["config"]["limit"] = None
    result["n-samples"]["cot_arith"]["original"] = 2
    path.write_text(json.dumps(result))


@pytest.mark.slow
def test_cards_contain_results_on_all_questions_only(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_provenance(student)
    assert main(["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "2"]) == 0
    card = ModelCard.load(student / "README.md")
    assert card.data.eval_results is None and "## Results" not in card.text
    _remove_limit(student)
    capsys.readouterr()
    assert main(["card", str(student)]) == 0
    assert capsys.readouterr().out == "runs/demo/oracle-l3-arith/seed100/README.md\n"
    card = ModelCard.load(student / "README.md")
    (result,) = card.data.eval_results
    assert (result.metric_value, result.metric_args["n"]) == (0.0, 2)
    assert "| demo-oracle-l3-arith | cot_arith | 2 | 0.0% | 0.0 – 65.8 |" in card.text


def test_a_student_without_results_has_a_card_without_scores(student: Path) -> None:
    _write_provenance(student)
    assert main(["card", str(student)]) == 0
    assert "## Results" not in (student / "README.md").read_text()


def test_no_card_is_written_if_one_of_the_students_is_untrained(
    student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_provenance(student)
    assert main(["card", str(student), "runs/demo/untrained"]) == 2
    assert re.search(r"runs/demo/untrained .*provenance\.json", capsys.readouterr().err)
    assert not (student / "README.md").exists()


def test_evaluate_writes_no_card_for_an_untrained_student(student: Path) -> None:
    assert main(["evaluate", "runs/demo/untrained", "--tasks", "cot_arith", "--backend", "hf", "--limit", "1"]) == 0
    assert not Path("runs/demo/untrained/README.md").exists()


@pytest.mark.slow
def test_results_of_earlier_weights_leave_the_card_unchanged(
    student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(Student.open(student), ["cot_arith"], EvaluationConfig(backend="hf", limit=1))
    (path,) = student.rglob("results_*.json")
    (student / "generation_config.json").write_text('{"eos_token_id": 2, "pad_token_id": 0}')
    _write_provenance(student)
    assert main(["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "2"]) == 1
    output = capsys.readouterr()
    assert "| cot_arith | 2 | 0.0% |" in re.sub(" +", " ", output.out)
    assert "model card" in output.err and str(path) in output.err
    assert not (student / "README.md").exists()


@pytest.mark.parametrize(("steps", "seen"), [(3, 192), (10, 640), (11, 693), (12, 757), (22, 1386)])
def test_the_card_shows_the_rows_that_the_steps_saw(steps: int, seen: int, student: Path) -> None:
    settings = {"effective_batch_size": 64, "max_steps": steps}
    card = _write_card(student, train_examples=693, steps=steps, settings=settings)
    assert f"| rows | 693 |\n| rows seen, all epochs | {seen} |" in card.text
    assert f"fine-tuned on {f'{seen} of the ' if seen < 693 else ''}693 rows of" in card.text


def test_the_loss_curve_falls_with_the_loss(tmp_path: Path) -> None:
    """Checks the picture: the left end of the line is higher than its right end."""
    log = [{"step": step, "loss": 4 / step, "learning_rate": 1e-3} for step in range(1, 101)]
    draw_loss([*log, {"step": 100, "train_loss": 0.2, "train_runtime": 9.0}], tmp_path, "demo-x")
    with Image.open(tmp_path / "loss.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 900)
        pixels = picture.convert("RGB").load()
        line = [(x, y) for x in range(900) for y in range(picture.height) if pixels[x, y] == (31, 119, 180)]
    left, right = min(line), max(line)
    assert right[0] - left[0] > 600
    assert left[1] < 120 and right[1] > 350
