"""The card beside a student: what it says, that its quick start runs, and what goes with it to the Hub."""

import json
import re
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
from conftest import provenance_of
from huggingface_hub import EvalResult, ModelCard, parse_eval_result_entries
from huggingface_hub.utils import validate_repo_id
from PIL import Image
from transformers.trainer_utils import SchedulerType

from cot_distill_datasets.bases import base_of
from cot_distill_datasets.cli import main
from cot_distill_datasets.curve import write_loss_curve
from cot_distill_datasets.evaluate import Evaluation, evaluate
from cot_distill_datasets.model_card import model_name, write_model_card
from cot_distill_datasets.provenance import Provenance
from cot_distill_datasets.report import ReportRow
from cot_distill_datasets.scores import Score


SCORE = Score(
    task="cot_gsm8k", version=1.1, n=200, limit=None, correct=150, flexible_correct=160, no_answer=4, capped=8,
    completed_correct=150, timed_out=0, mean_output_tokens=21.5, approximate=False,
    command="cot-distill evaluate runs/x --tasks cot_gsm8k", prompt="2 + 2?", gold="4", answer="The answer is 4",
)  # fmt: skip


@pytest.fixture
def student(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A student's folder as training leaves it, seen from where it was trained."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/demo/oracle-l3-arith/seed100")
    for copy in (folder, "runs/demo/untrained"):
        shutil.copytree(workplace / "runs/demo/untrained", copy, ignore=shutil.ignore_patterns("results"))
    return folder


def _made(student: Path, **known: Any) -> Provenance:
    template = sha256((student / "chat_template.jinja").read_bytes()).hexdigest()
    demo = {
        "base_model": "runs/demo/untrained",
        "base_is_on_hub": "base_model" in known,
        "config": "oracle-l3-arith",
        "chat_template_sha256": template,
    }
    made = provenance_of(**demo | known)
    made.write(student)
    return made


def _card(student: Path, *scores: Score, **known: Any) -> ModelCard:
    made = _made(student, **known)
    return ModelCard.load(write_model_card(made, student, [ReportRow(student, score, made) for score in scores]))


def test_the_card_tells_what_made_the_student(student: Path) -> None:
    settings = {"learning_rate": 5e-5, "lr_scheduler_type": SchedulerType.COSINE}
    card = _card(
        student, base_model="org/base", config="0.2*gpt4o-fine-svamp+0.8*new_teacher-coarse-svamp", train_examples=693,
        settings=settings, lora={"lora_r": 16, "lora_alpha": 8}, warnings=["5 of 8 answers ran on."],
        hardware="4 H100",
        recipe="/home/me/x.yaml", tokens_seen=123456, versions={"trl": "1.16.0"}, dataset_revision="paper",
    )  # fmt: skip
    data = card.data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["datasets"], data["license"]) == (
        "org/base", "finetune", "eit/cot-distill", "unknown",
    )  # fmt: skip
    assert (data["library_name"], data["pipeline_tag"], data["language"]) == ("transformers", "text-generation", "en")
    assert "model-index" not in data and "model_name" not in data and "## Results" not in card.text
    for said in (
        "[`org/base`](https://huggingface.co/org/base) fine-tuned on 693 rows of",
        "> **Warning:** 5 of 8 answers ran on.",
        "| `gpt4o-l5-svamp` | 0.2 | GPT-4o | l5 | of the Hub |",
        "| learning_rate | 5e-05 |\n| lr_scheduler_type | cosine |\n| lora_r | 16 |\n| lora_alpha | 8 |",
        "| tokens seen, all epochs | 123,456 |",
        "| hardware | 4 H100; 1 process |",
        "| trl | 1.16.0 |",
        "| recipe | x.yaml, SHA-256 `1111111111111111…` |",
        "LoRA, merged into the weights.",
        "![Loss of each logged step](loss.png)",
        "holds questions of the test splits: a score on `cot_svamp`",
        "| GPT-4o (`gpt4o`) | OpenAI Terms of Use (openai.com/policies) |",
        "| a model (`new_teacher`) | its provider's | look them up before you publish |",
        "under its licence: look it up before you publish",
    ):
        assert said in card.text


def test_the_template_stands_in_the_card_byte_for_byte(student: Path) -> None:
    (student / "chat_template.jinja").write_text("{{ messages }}```\n{# <|im_end|> & é #}")
    card = _card(student)
    assert "````jinja\n{{ messages }}```\n{# <|im_end|> & é #}\n````\n" in card.text


def test_the_quick_start_runs_as_it_stands(student: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", _card(student).text, re.DOTALL)
    assert 'model = "runs/demo/oracle-l3-arith/seed100"' in code
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout) > 100  # an untrained student never ends


@pytest.mark.parametrize(
    ("benchmark", "asked"),
    [
        ("svamp", "How many"),
        ("csqa", r"\nAnswer choices:\nA. "),
        ("strategyqa", "Could"),
        ("math", r"$3^4 - 2 \\cdot 5$"),
    ],
)
def test_the_quick_start_asks_a_question_of_the_students_kind(benchmark: str, asked: str, student: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", _card(student, config=f"answer-{benchmark}").text, re.DOTALL)
    compile(code, "card", "exec")
    assert asked in code


def test_every_command_of_the_card_names_the_student_and_its_task(student: Path) -> None:
    moved = student.with_name("seed 100")
    student.rename(moved)
    text = _card(moved).text
    assert "cot-distill evaluate 'runs/demo/oracle-l3-arith/seed 100' --tasks cot_arith\n" in text
    assert "--model vllm --model_args pretrained='runs/demo/oracle-l3-arith/seed 100' --batch_size auto" in text


# Source: the Hub's page of licences.
HUB_LICENCES = {"llama3.2", "gemma", "bigscience-bloom-rail-1.0", "apache-2.0"}


@pytest.mark.parametrize(
    ("base", "licence", "name", "said"),
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
def test_the_licence_of_the_base_and_what_it_asks_come_along(
    base: str, licence: str, name: str, said: str, student: Path
) -> None:
    card = _card(student, base_model=base, config="gpt4o-l5-svamp")
    assert card.data.license == licence and licence in HUB_LICENCES
    assert card.text.lstrip().startswith(f"# {name}\n") and said in card.text
    notice = student / "NOTICE"
    assert notice.is_file() == (licence in ("llama3.2", "gemma"))
    assert not notice.is_file() or notice.read_text().strip() in card.text


def test_gemma_4_is_not_taken_for_its_elders() -> None:
    assert base_of("google/gemma-4-e2b") is None


def test_a_student_of_the_demo_is_ours_and_has_no_base_on_the_hub(student: Path) -> None:
    card = _card(student)
    assert card.text.lstrip().startswith("# demo-oracle-l3-arith\n")
    assert card.data.license == "apache-2.0" and "base_model" not in card.data.to_dict()


def test_a_name_is_one_that_the_hub_takes() -> None:
    made = provenance_of(
        base_model="HuggingFaceTB/SmolLM2-135M-Instruct", config="0.2*gpt4o-l5-rar-strategyqa+0.8*gpt4o-l1-strategyqa"
    )
    validate_repo_id(f"user/{model_name(made)}")


def test_scores_stand_in_the_card_with_interval_and_command(student: Path) -> None:
    timed_out = replace(SCORE, task="cot_math", timed_out=3, approximate=True, command="lm_eval --tasks cot_math")
    card = _card(student, SCORE, timed_out)
    assert (
        "| demo-oracle-l3-arith | cot_gsm8k | 200 | 75.0 % | 68.6 – 80.5 | 80.0 % | 2.0 % | 4.0 % | 78.1 % | 21.5 |"
        in card.text
    )
    assert f"```bash\n{SCORE.command}\nlm_eval --tasks cot_math\n```" in card.text
    assert "≈ The bare `lm_eval`" in card.text and "`cot_math`: 3 comparisons of LaTeX were given up" in card.text


def test_the_model_index_is_read_back_as_it_was_meant(student: Path) -> None:
    card = _card(student, SCORE, replace(SCORE, task="cot_csqa"), replace(SCORE, task="cot_csqa_paper", correct=0))
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


def test_gsm8k_goes_to_the_hubs_leaderboard_and_goes_where_its_score_went(student: Path) -> None:
    path = student / ".eval_results/gsm8k.yaml"
    _card(student, replace(SCORE, task="cot_svamp"))
    assert not path.exists()
    _card(student, SCORE)
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "gsm8k", 75.0)
    assert entry.notes == (
        "lm-evaluation-harness, task cot_gsm8k 1.1: zero-shot, greedy, strict match; n = 200, 95 % interval 68.57 – "
        f"80.49; {SCORE.command}"
    )
    _card(student)
    assert not path.exists()


def _called_whole(student: Path) -> None:
    (path,) = student.rglob("results_*.json")
    result = json.loads(path.read_text())
    result["config"]["limit"] = None
    result["n-samples"]["cot_arith"]["original"] = 2
    path.write_text(json.dumps(result))


def test_evaluate_and_card_write_whole_results_only(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _made(student)
    asked = ["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "2"]
    assert main(asked) == 0
    trial = ModelCard.load(student / "README.md")
    assert trial.data.eval_results is None and "## Results" not in trial.text
    _called_whole(student)  # to ask all 500 would take the test a minute
    capsys.readouterr()
    assert main(["card", str(student)]) == 0
    assert capsys.readouterr().out == "runs/demo/oracle-l3-arith/seed100/README.md\n"
    whole = ModelCard.load(student / "README.md")
    (result,) = whole.data.eval_results
    assert (result.metric_value, result.metric_args["n"]) == (0.0, 2)
    assert "| demo-oracle-l3-arith | cot_arith | 2 | 0.0 % | 0.0 – 65.8 |" in whole.text


def test_a_student_without_results_gets_a_card_without_scores(student: Path) -> None:
    _made(student)
    assert main(["card", str(student)]) == 0
    assert "## Results" not in (student / "README.md").read_text()


def test_a_student_that_nobody_trained_has_no_card(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _made(student)
    assert main(["card", str(student), "runs/demo/untrained"]) == 2
    assert "runs/demo/untrained has no provenance.json" in capsys.readouterr().err
    assert not (student / "README.md").exists()
    assert main(["evaluate", "runs/demo/untrained", "--tasks", "cot_arith", "--backend", "hf", "--limit", "1"]) == 0
    assert not Path("runs/demo/untrained/README.md").exists()


def test_a_result_of_former_weights_leaves_the_card_as_it_was(
    student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(student, ["cot_arith"], Evaluation(backend="hf", limit=1))
    (student / "generation_config.json").write_text('{"eos_token_id": 2, "pad_token_id": 0}')
    _made(student)
    asked = ["evaluate", str(student), "--tasks", "cot_arith", "--backend", "hf", "--limit", "2"]
    assert main(asked) == 1
    said = capsys.readouterr()
    assert "| cot_arith | 2 | 0.0 % |" in said.out
    assert "The model card is as it was" in said.err and "of other weights" in said.err
    assert not (student / "README.md").exists()


def test_the_loss_curve_falls_where_the_loss_does(tmp_path: Path) -> None:
    """Read off the picture: the line's pixels at its left end stand above those at its right end."""
    log = [{"step": step, "loss": 4 / step, "learning_rate": 1e-3} for step in range(1, 101)]
    write_loss_curve([*log, {"step": 100, "train_loss": 0.2, "train_runtime": 9.0}], tmp_path)
    with Image.open(tmp_path / "loss.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 900)
        pixels = picture.convert("RGB").load()
        line = [(x, y) for x in range(900) for y in range(picture.height) if pixels[x, y] == (31, 119, 180)]
    left, right = min(line), max(line)
    assert right[0] - left[0] > 600
    assert left[1] < 120 and right[1] > 350
