"""The commands that train, evaluate and describe students."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import CotDistillError
from ..messages import message
from ..names import RELEASE_NAME
from .parser import add_command, model_args, points, positive, usable_path
from .publications import add_dry_run, add_samples, publish_repos, user


def add_student_commands(commands: Any) -> None:
    """Add `train`, `evaluate`, `report`, `compare`, `card` and `publish-student`."""
    train = add_command(
        commands, _train,
        usage="%(prog)s [--accelerate PROFILE] [--config RECIPE] [ARGUMENTS]", allow_abbrev=False,
    )  # fmt: skip
    train.add_argument(
        "--accelerate",
        metavar="PROFILE",
        help="cpu, gpu, ddp, fsdp2, zero3, or a YAML; default: all GPUs, else the CPU",
    )
    train.passes_on = True

    evaluate = add_command(commands, _evaluate)
    evaluate.add_argument("students", type=usable_path, nargs="+", metavar="STUDENT", help="folder of a student")
    evaluate.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help="cot_svamp, cot_distill, …")
    evaluate.add_argument("--backend", choices=["vllm", "hf"], default="vllm", help="default: %(default)s")
    evaluate.add_argument(
        "--release",
        type=usable_path,
        metavar="DIR",
        help=f"release folder of the test splits; default: {RELEASE_NAME}",
    )
    evaluate.add_argument("--limit", type=positive, metavar="N", help="only the first N questions of each task")
    evaluate.add_argument(
        "--test-questions", type=positive, metavar="N", help="size of the test split of `arith`; default: 500"
    )
    evaluate.add_argument(
        "--model-args", type=model_args, default={}, metavar="NAME=VALUE,…", help="arguments of lm-eval's model"
    )

    report = add_command(commands, _report)
    report.add_argument("students", type=usable_path, nargs="+", metavar="STUDENT")
    report.add_argument("--out", type=usable_path, default=Path("runs"), metavar="DIR", help="default: %(default)s")

    _add_compare(commands)
    add_command(commands, _card).add_argument("students", type=usable_path, nargs="+", metavar="STUDENT")
    _add_publish_student(commands)


def _add_publish_student(commands: Any) -> None:
    publish = add_command(commands, _publish_student)
    publish.add_argument("students", type=usable_path, nargs="+", metavar="RUN", help="folder of a trained student")
    repo = publish.add_mutually_exclusive_group(required=True)
    repo.add_argument("--repo-id", metavar="USER/NAME", help="the model repo of one student; created if missing")
    repo.add_argument("--namespace", type=user, metavar="USER", help="owner of the repos, named after the students")
    add_samples(publish)
    add_dry_run(publish)


def _add_compare(commands: Any) -> None:
    comparison = add_command(commands, _compare)
    results = "folder or results_*.json of `cot-distill evaluate` or `lm_eval --log_samples --output_path`"
    comparison.add_argument("a", type=usable_path, metavar="A", help=f"results of the model to beat: {results}")
    comparison.add_argument("b", type=usable_path, metavar="B", help="results of the other one on the same questions")
    comparison.add_argument(
        "--margin", type=points, default=3, metavar="POINTS", help="differences below it do not matter; default: 3"
    )
    comparison.add_argument("--metric", metavar="NAME", help="of 0 and 1; default: exact_match, acc, or the first one")
    comparison.add_argument("--flips", action="store_true", help="show the questions that only one model answers")
    comparison.add_argument("--format", choices=["markdown", "json"], default="markdown", help="default: %(default)s")
    comparison.add_argument("--fail-if-worse", action="store_true", help="exit with 1 if B is `worse` on a task")


def _train(options: argparse.Namespace) -> int:
    """Train a student with `accelerate launch`.

    cot-distill train --config smollm2-135m --dataset_config gpt4o-fine-svamp
    """
    from ..training.launch import launch

    return launch(options.arguments, options.accelerate)


def _evaluate(options: argparse.Namespace) -> int:
    """Evaluate students with lm-eval; results go to STUDENT/results.

    cot-distill evaluate runs/demo/oracle-l3-arith/seed100 --tasks cot_arith --backend hf
    """
    from ..evaluation.results import Student
    from ..evaluation.run import EvaluationConfig, evaluate_students
    from ..reports.tables import score_table
    from ..templates import aligned

    students = [Student.open(folder) for folder in dict.fromkeys(options.students)]
    tasks = [name for text in options.tasks for name in text.split(",")]
    config = EvaluationConfig(
        backend=options.backend, release=options.release, limit=options.limit, model_args=options.model_args,
        test_questions=options.test_questions,
    )  # fmt: skip
    scores = {}
    code = 0
    for student, of_student in evaluate_students(students, tasks, config):
        scores[student.folder] = of_student
        if not _update_card(student):
            code = 1
    print(aligned(score_table([score for student in students for score in scores[student.folder]])))
    return code


def _update_card(student: Any) -> bool:
    """Write the scores into the card of a trained student. Return whether its results allow it."""
    from ..reports.model_card import update_model_cards

    try:
        if student.provenance:
            update_model_cards(student)
            _name_limited(student)
    except CotDistillError as error:  # of other results that the student has
        message(f"The model card of {student.folder} was not changed: {error}")
        return False
    return True


def _report(options: argparse.Namespace) -> int:
    """Compare students in one report.

    cot-distill report runs/demo/untrained runs/demo/oracle-l3-arith/seed100
    """
    from ..evaluation.results import Student
    from ..reports.report import write_report
    from ..templates import aligned

    table = write_report(options.out, [Student.open(folder) for folder in options.students])
    message(f"The report is in {options.out / 'report.md'}.")
    print(aligned(table))
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Compare two results of the same tasks: is B `better`, `worse`, or the `same within ±3`, or `cannot tell`?

    cot-distill compare runs/demo/untrained runs/demo/oracle-l3-arith/seed100 --flips
    """
    from ..evaluation.compare import WORSE, compare, comparison_json, comparison_page

    comparisons = compare(options.a, options.b, options.margin / 100, options.metric)
    page = comparison_json if options.format == "json" else comparison_page
    print(page(options.a, options.b, comparisons, flips=options.flips))
    return 1 if options.fail_if_worse and any(c.verdict == WORSE for c in comparisons) else 0


def _card(options: argparse.Namespace) -> int:
    """Update a student's model card with its current scores.

    cot-distill card runs/demo/oracle-l3-arith/seed100
    """
    from ..evaluation.results import Student
    from ..reports.model_card import update_model_cards

    students = [Student.open(folder) for folder in options.students]
    for path in update_model_cards(*students):
        print(path)
    for student in students:
        _name_limited(student)
    return 0


def _publish_student(options: argparse.Namespace) -> int:
    """Publish trained students to the Hub, each as one commit and a tag of a model repo.

    cot-distill publish-student runs/demo/oracle-l3-arith/seed100 --repo-id USER/NAME --dry-run
    """
    from ..reports.publish_student import student_repos

    if options.repo_id and len(options.students) > 1:
        raise CotDistillError("`--repo-id` is for one student: pass `--namespace USER` for several.")
    if options.repo_id:
        return publish_repos({options.repo_id: options.students[0]}, options)
    return publish_repos(student_repos(options.namespace, dict.fromkeys(options.students, ())), options)


def _name_limited(student: Any) -> None:
    if limited := sorted({score.task for score in student.scores.values() if score.limit}):
        message(f"Not in the card: results with --limit, of {', '.join(limited)}.")
