"""The model card beside a student: `README.md` from its provenance and scores, and what the Hub reads beside it.

    runs/demo/oracle-l3-arith/seed100/README.md                  front matter with `model-index`, then the page
    runs/demo/oracle-l3-arith/seed100/.eval_results/gsm8k.yaml   the score for the Hub's leaderboard of GSM8K
    runs/demo/oracle-l3-arith/seed100/NOTICE                     if the license of the base model requires one

It contains results on all questions only, no `--limit` runs. Training writes the card; `cot-distill evaluate` and
`cot-distill card` write it again.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.constants import EVAL_RESULTS_FOLDER

from ..benchmarks import TEST_SPLITS, layout
from ..errors import CotDistillError
from ..evaluation.results import Student, read_scores, split_for_task
from ..evaluation.samples import RESULTS, find_results
from ..evaluation.scores import Score
from ..files import atomic_write
from ..licenses import base_license, license_spelling, teacher_terms
from ..names import HOME_PAGE, RELEASE_NAME, TEACHERS, eval_config
from ..provenance import Provenance
from ..release.editions import EDITIONS, Edition
from ..templates import render_card
from .figures import LOSS_CURVE
from .tables import score_notes, score_table


# A question for each kind of answer, in the layout of training.
EXAMPLES = {
    "number": "Mia has 12 pens. Mia buys 5 more, then gives away 3. How many pens does Mia have?",
    "choice": layout("Where does a clean plate go after dinner?", ["cupboard", "garden", "road", "river", "roof"]),
    "boolean": "Could a cat fit into a shoe box?",
    "math": "What is the value of $3^4 - 2 \\cdot 5$?",
}


def update_model_cards(*students: Student) -> list[Path]:
    """Write the cards of trained students again, with their scores on all questions, and return the cards' paths.

    Raises CotDistillError if a student was not trained here, or has results that do not belong to it (`read_scores`).
    No card is written then.
    """
    cards = []
    for student in students:
        if student.provenance is None:
            raise CotDistillError(
                f"{student.folder} has no provenance.json, so its training is unknown: pass the folder of a student "
                "that cot-distill trained."
            )
        cards.append((student.provenance, student.folder, card_scores(student)))
    return [write_model_card(*card) for card in cards]


def card_scores(student: Student) -> list[Score]:
    """Return the scores of a student's card, those on all questions; none without results.

    Raises CotDistillError if it has results that do not belong to it (`read_scores`).
    """
    scores = read_scores(student) if find_results(student.folder / RESULTS) else []
    return [score for score in scores if score.limit is None]


def write_model_card(
    provenance: Provenance, student: Path, scores: Sequence[Score] = (), repo_id: str | None = None
) -> Path:
    """Write the card into a student's folder, with `scores`, and return its path.

    Its commands name the folder, or the Hub repo `repo_id`, from where they run on any machine.
    """
    folder = Path(repo_id) if repo_id else student if not student.is_absolute() else Path(student.name)
    scores = [replace(score, command=_portable(score, folder, is_published=bool(repo_id))) for score in scores]
    base, name, mixture = base_license(provenance.base_model), model_name(provenance), provenance.mixture
    is_on_hub, benchmark = provenance.base_is_on_hub, provenance.benchmark
    data = ModelCardData(
        language="en",
        license=base.license if base else "unknown",
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=provenance.base_model if is_on_hub else None,
        base_model_relation="finetune" if is_on_hub else None,
        datasets=provenance.dataset if provenance.dataset_is_release else None,
        tags=["chain-of-thought", "distillation", "reasoning", "sft", "trl", "arxiv:2502.18001"],
        model_name=name if scores else None,
        eval_results=[_eval_result(score) for score in scores] or None,
    )
    teachers = {config.teacher for config in mixture.configs}
    card = render_card(
        ModelCard, data, "model_card.md.jinja",
        provenance=provenance, mixture=mixture, name=name, base=base, benchmark=benchmark, repo_id=repo_id,
        # of the training rows; None if it is unknown (a commit of the Hub)
        edition=EDITIONS.get(provenance.edition or "") or Edition.of_revision(provenance.dataset_revision),
        folder=shlex.quote(str(folder)), student=json.dumps(str(folder)),
        model_args=shlex.quote(json.dumps({"pretrained": str(folder)})), home_page=HOME_PAGE,
        question=json.dumps(EXAMPLES[benchmark.answer_kind]),
        teachers={name: (TEACHERS.get(name, "a model"), teacher_terms(name)) for name in sorted(teachers)},
        chat_template=(student / "chat_template.jinja").read_text(encoding="utf-8"), loss_curve=LOSS_CURVE,
        settings=json.loads(json.dumps(provenance.settings)),  # an enum prints differently before it is saved
        scores=scores, table=score_table(scores, name), notes=score_notes(scores, name),
    )  # fmt: skip
    if base and base.notice:
        atomic_write(student / "NOTICE", f"{base.notice}\n")
    _write_leaderboard_entry(student, scores)
    atomic_write(student / "README.md", str(card))
    return student / "README.md"


def _portable(score: Score, folder: Path, *, is_published: bool) -> str:
    """Return a score's command for a student in `folder`.

    Of a published student, it reads the test split from the Hub instead of a folder of this machine.
    """
    words = [word.replace(str(score.student), str(folder)) for word in shlex.split(score.command)]
    if is_published and "--release" in words:
        option = words.index("--release")
        del words[option : option + 2]
    return shlex.join(words)


def model_name(provenance: Provenance) -> str:
    """Return a name for the student on the Hub: its base model, spelled as the license requires, and its mixture."""
    base = Path(provenance.base_model).name if provenance.base_is_on_hub else provenance.student
    spelling = license_spelling(provenance.base_model)
    return f"{spelling or base}-{provenance.mixture.folder}".replace("+", "-")


def _eval_result(score: Score) -> EvalResult:
    """Return an entry of `model-index`. Its dataset is the release, not the benchmark's own repo.

    The Hub's release has no benchmark of the user's own.
    """
    interval = [_percent(bound) for bound in score.interval]
    split = split_for_task(score.task)
    config = eval_config(split)
    return EvalResult(
        task_type="text-generation",
        dataset_type=RELEASE_NAME if split in TEST_SPLITS else split,
        dataset_name=f"CoT-Distill, {config}",
        dataset_config=config,
        dataset_split="test",
        metric_type="exact_match",
        metric_name=f"accuracy on {score.task}, %",
        metric_value=_percent(score.accuracy),
        metric_args={"task_version": score.version, "n": score.n, "interval_95": interval, "command": score.command},
    )


def _write_leaderboard_entry(student: Path, scores: Sequence[Score]) -> None:
    """Write GSM8K's score for the Hub's leaderboard of that dataset; delete an older one if there is none now.

    Of our benchmarks, the Hub has a leaderboard for `openai/gsm8k` only; its one task is called `gsm8k`.
    """
    path = student / EVAL_RESULTS_FOLDER / "gsm8k.yaml"
    entries = [_leaderboard_entry(score) for score in scores if score.task == "cot_gsm8k"]
    if entries:
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True))
    else:
        path.unlink(missing_ok=True)


def _leaderboard_entry(score: Score) -> EvalResultEntry:
    low, high = score.interval
    return EvalResultEntry(
        dataset_id=TEST_SPLITS["gsm8k"].hub[0][0],
        task_id="gsm8k",
        value=_percent(score.accuracy),
        notes=f"lm-evaluation-harness, task {score.task} {score.version:g}: zero-shot, greedy, strict match; "
        f"n = {score.n}, 95% interval {_percent(low)} – {_percent(high)}; {score.command}",
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)
