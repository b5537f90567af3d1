"""A study whose records are known, and what its report says."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outcomes import answer_rows, first_correct

from cot_distill_datasets.evaluation.statistics import Answers
from cot_distill_datasets.names import ConfigName
from cot_distill_datasets.release.editions import DEFAULT_EDITION
from cot_distill_datasets.release.folder import ConfigStats, Release, write_index
from cot_distill_datasets.studies.plan import Plan, PlannedCell
from cot_distill_datasets.studies.records import write_record
from cot_distill_datasets.studies.report import write_study_report
from cot_distill_datasets.studies.study import UNTRAINED, Cell, Study


SEEDS = 3  # of each arm in the plans


def make_plan(
    folder: Path,
    arms: Mapping[str, Answers],
    *,
    student: str = "demo",
    answer: str = "The answer is 12.",
    arguments: tuple[tuple[str, str], ...] = (),
    agreement: Mapping[str, float] | None = None,
    separation: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> Plan:
    """Return a plan and the records of `arms`, whose keys are configs of one benchmark.

    The untrained base answers 5 questions with 0 exemplars, and 10 with 4. Every student gives `answer` to the first.
    """
    configs = [ConfigStats(name, "train", "f", 1, 1, agreement=share) for name, share in (agreement or {}).items()]
    release = folder / "release"
    release.mkdir(parents=True)
    write_index(Release("0.1.0", DEFAULT_EDITION, "a grader", configs, [], {}, []), release)
    benchmark = ConfigName.parse(next(iter(arms))).benchmark
    questions = max(answers.shape[1] for answers in arms.values())
    planned: list[tuple[Cell, Any]] = [
        (
            Cell(student=student, config=UNTRAINED, benchmark=benchmark, shots=shots),
            first_correct(n, questions=questions)[0],
        )
        for shots, n in ((0, 5), (4, 10))
    ]
    for (config, answers), seed in itertools.product(arms.items(), range(SEEDS)):
        cell = Cell(student=student, config=config, benchmark=benchmark, seed=seed + 1, arguments=arguments)
        planned.append((cell, answers[seed] if seed < len(answers) else None))
    cells = [_planned(number, cell) for number, (cell, _) in enumerate(planned)]
    study = Study(name="known", cells=[cell for cell, _ in planned], tasks=[], dataset=str(release))
    plan = Plan(study, folder / "study", cells, {}, {benchmark: ["a", "b"]}, dict(separation or {}))
    for planned_cell, (_, answers) in zip(cells, planned):
        if answers is not None:
            (task,) = planned_cell.records
            write_record(plan.record(planned_cell, task), answer_rows(answers), facts(planned_cell, answer))
    return plan


def _planned(number: int, cell: Cell) -> PlannedCell:
    arguments = ["--config", "/recipes/recipe.yaml", "--seed", str(cell.seed)]
    records = {f"cot_{cell.benchmark}": f"{number}.parquet"}
    return PlannedCell(cell, f"key{number}", arguments, records, words(cell.config), "g", {})


def facts(planned: PlannedCell, answer: str, dtype: str = "float32") -> dict[str, Any]:
    """Return the facts of a record. A student's loss is 1 divided by the step."""
    is_trained = planned.cell.config != UNTRAINED
    return {
        "evaluation": {
            "command": ["cot-distill", "evaluate", str(planned.student)],
            "settings": {"backend": "hf", "model_args": {"dtype": dtype}},
        },
        "provenance": {"final_loss": 0.05, "train_seconds": 60.0} if is_trained else None,
        "losses": [(step, 1 / step) for step in (1, 10, 20)] if is_trained else [],
        "first": {"prompt": "How many?", "answer": answer},
    }


def words(config: str) -> float:
    """Return the mean words that a config has in these plans: 7 times its level."""
    return 7.0 * ConfigName.parse(config).granularity if config != UNTRAINED else 0.0


def report(plan: Plan) -> str:
    write_study_report(plan)
    return (plan.folder / "report.md").read_text(encoding="utf-8")


def table_rows(page: str, name: str) -> list[list[str]]:
    """Return the cells of all table rows that have the cell `name`."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return [row for row in rows if name in row]
