"""The model card beside a student: `README.md` out of its provenance and its scores, and what goes with it to the Hub.

    runs/demo/oracle-l3-arith/seed100/README.md                  front matter with `model-index`, then the page
    runs/demo/oracle-l3-arith/seed100/.eval_results/gsm8k.yaml   the score that the Hub's leaderboard of GSM8K reads
    runs/demo/oracle-l3-arith/seed100/NOTICE                     where the licence of the base model wants one

Only whole results are in it, no trials with `--limit`. Training writes the card, `cot-distill evaluate` and
`cot-distill card` write it again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
)
from huggingface_hub.constants import EVAL_RESULTS_FOLDER

from .bases import base_of, spelled
from .benchmarks import BENCHMARKS, TEST_SPLITS, layout
from .cards import render_card
from .curve import CURVE
from .folders import write_whole
from .provenance import Provenance, read_provenance
from .report import ReportRow, read_rows, table
from .scores import RESULTS, split_of
from .taxonomy import RELEASE_NAME, TEACHERS, CotDistillError, eval_config
from .terms import TEACHER_TERMS


# A question of each kind of answer, asked as in training.
EXAMPLES = {
    "number": "Mia has 12 pens. Mia buys 5 more, then gives away 3. How many pens does Mia have?",
    "choice": layout("Where does a clean plate go after dinner?", ["cupboard", "garden", "road", "river", "roof"]),
    "boolean": "Could a cat fit into a shoe box?",
    "math": "What is the value of $3^4 - 2 \\cdot 5$?",
}


def update_model_cards(students: Sequence[Path]) -> list[Path]:
    """Write the cards of trained students again, with the whole results they have now, and return the cards' paths.

    Raises:
        CotDistillError: one was not trained here, or has results that do not belong to it (`scores.read_scores`);
            nothing is written then.
    """
    described = [(student, _made(student), _whole_results(student)) for student in students]
    return [write_model_card(made, student, rows) for student, made, rows in described]


def write_model_card(made: Provenance, student: Path, rows: Sequence[ReportRow] = ()) -> Path:
    """Write the card into a student's folder, with the scores in `rows`, and return its path."""
    base, name = base_of(made.base_model), model_name(made)
    data = ModelCardData(
        language="en",
        license=base.licence if base else "unknown",
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=made.base_model if made.base_is_on_hub else None,
        base_model_relation="finetune" if made.base_is_on_hub else None,
        datasets=made.dataset if made.dataset_is_release else None,
        tags=["chain-of-thought", "distillation", "reasoning", "sft", "trl", "arxiv:2502.18001"],
        model_name=name if rows else None,
        eval_results=[_eval_result(row) for row in rows] or None,
    )
    card = render_card(
        ModelCard, data, "model_card.md.jinja",
        made=made, name=name, base=base, folder=shlex.quote(str(student)), student=json.dumps(str(student)),
        benchmark=made.mixture.benchmark, licence=BENCHMARKS[made.mixture.benchmark],
        question=json.dumps(EXAMPLES[BENCHMARKS[made.mixture.benchmark].answer_kind]),
        teachers={config.teacher: TEACHERS.get(config.teacher, "a model") for config in made.mixture.configs},
        terms=TEACHER_TERMS, chat_template=(student / "chat_template.jinja").read_text(), curve=CURVE,
        settings=json.loads(json.dumps(made.settings)),  # an enum prints otherwise before it was saved
        rows=rows, table=table([ReportRow(Path(name), row.score, row.made) for row in rows]),
    )  # fmt: skip
    if base and base.notice:
        write_whole(student / "NOTICE", f"{base.notice}\n")
    _write_leaderboard_entry(student, rows)
    write_whole(student / "README.md", str(card))
    return student / "README.md"


def model_name(made: Provenance) -> str:
    """Return the name that a student may have on the Hub: of its base model, as some licences want, and its rows."""
    base = Path(made.base_model).name if made.base_is_on_hub else made.student
    return f"{spelled(made.base_model) or base}-{made.mixture.folder}".replace("+", "-")


def _made(student: Path) -> Provenance:
    if made := read_provenance(student):
        return made
    raise CotDistillError(
        f"{student} has no provenance.json, so nothing is known of its training: name the folder of a student that "
        "`training/sft.py` trained."
    )


def _whole_results(student: Path) -> list[ReportRow]:
    if not any((student / RESULTS).rglob("results_*.json")):
        return []
    return [row for row in read_rows([student]) if row.score.limit is None]


def _eval_result(row: ReportRow) -> EvalResult:
    """Return an entry of `model-index`: the rows are the release's, whatever the benchmark is called elsewhere."""
    score, (low, high) = row.score, row.interval
    return EvalResult(
        task_type="text-generation",
        dataset_type=RELEASE_NAME,
        dataset_name=f"CoT-Distill, {eval_config(split_of(score.task))}",
        dataset_config=eval_config(split_of(score.task)),
        dataset_split="test",
        metric_type="exact_match",
        metric_name=f"accuracy on {score.task}, %",
        metric_value=_percent(row.accuracy),
        metric_args={
            "task_version": score.version,
            "n": score.n,
            "interval_95": [_percent(low), _percent(high)],
            "command": score.command,
        },
    )


def _write_leaderboard_entry(student: Path, rows: Sequence[ReportRow]) -> None:
    """Write GSM8K's score for the Hub's leaderboard of that dataset; a former one goes where there is none now.

    Of our benchmarks `openai/gsm8k` is the one that the Hub keeps a leaderboard of; its only task is called `gsm8k`.
    """
    path = student / EVAL_RESULTS_FOLDER / "gsm8k.yaml"
    entries = [_leaderboard_entry(row) for row in rows if row.score.task == "cot_gsm8k"]
    if entries:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))
    else:
        path.unlink(missing_ok=True)


def _leaderboard_entry(row: ReportRow) -> EvalResultEntry:
    score, (low, high) = row.score, row.interval
    return EvalResultEntry(
        dataset_id=TEST_SPLITS["gsm8k"].hub[0][0],
        task_id="gsm8k",
        value=_percent(row.accuracy),
        notes=f"lm-evaluation-harness, task {score.task} {score.version:g}: zero-shot, greedy, strict match; "
        f"n = {score.n}, 95 % interval {_percent(low)} – {_percent(high)}; {score.command}",
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)
