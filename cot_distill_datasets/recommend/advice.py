"""Advice: which configs to try first, in sentences that say no more than the evidence supports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import CotDistillError
from ..evaluation.results import Student, read_scores
from ..evaluation.samples import RESULTS
from ..messages import message
from ..names import ConfigName
from .base import Base, load_base
from .forward import score_configs
from .measurements import Measurement, of_size
from .ranking import Standing, read_sums
from .validation import LEAST_CONFIGS, LENGTH, Evidence, Validation, predictor, validate, weigh


def validate_all(
    measurements: Sequence[Measurement], base: Base | None, dataset: str, **options: Any
) -> list[Validation]:
    """Return how the scores of untrained bases predicted the accuracies of their students.

    Bases are scored with the same `options` (`score_configs`); `base` is one that is in memory. A message names each
    student that cannot be scored, or has too few configs.
    """
    validations = []
    for student in measurements:
        configs = [ConfigName.parse(config) for config in student.configs]
        try:
            validation = None
            if len(configs) >= LEAST_CONFIGS:
                own = base if base and student.student == base.name else load_base(student.student)
                validation = validate(student, read_sums(score_configs(own, configs, dataset, **options)))
        except CotDistillError as error:
            message(f"not validated on {student.name}: {error}")
            continue
        if validation is None:
            message(f"not validated on {student.name}: it has fewer than {LEAST_CONFIGS} configs with CoT.")
        else:
            validations.append(validation)
    return validations


def recommendation(
    student: str, standings: Mapping[str, Sequence[Standing]], validations: Sequence[Validation]
) -> str:
    """Return the sentence that recommends configs of a student with its evidence, or says that there is none."""
    if not validations:
        return (
            f"No score is validated for {student}: pass finished studies of students of its size as `--studies`, or "
            "measure a few configs with `cot-distill study run`."
        )
    evidence = weigh(validations)
    best, names = predictor(evidence), ", ".join(v.measurement.name for v in validations)
    studies = "1 finished study" if len(validations) == 1 else f"{len(validations)} finished studies"
    place = f"on {studies} of students of this size ({names})"
    if best is None or best == LENGTH:
        leader = max((n for n, e in evidence.items() if e.p_length is not None), key=lambda n: evidence[n].tau)
        text = (
            f"No score predicted better than length so far: {place}, the best score `{leader}` has "
            f"{_tau(evidence[leader])}, and length (`{LENGTH}`) has {_tau(evidence[LENGTH])}."
        )
        return f"{text} By length, {_choice(LENGTH, standings)}" if best else text
    return (
        f"{place[0].upper()}{place[1:]} `{best}` predicted best ({_tau(evidence[best])}; length has "
        f"{_tau(evidence[LENGTH])}): {_choice(best, standings)}"
    )


def _choice(name: str, standings: Mapping[str, Sequence[Standing]]) -> str:
    """Return what to try by a score: all configs that share its first rank."""
    first = [f"`{standing.config}`" for standing in standings[name] if standing.rank == 1]
    if len(first) == 1:
        return f"try {first[0]}."
    return f"try {', '.join(first[:-1])} or {first[-1]}; `{name}` cannot tell them apart."


def _tau(evidence: Evidence) -> str:
    tau, interval, p, _ = evidence_cells(evidence)
    return f"tau = {tau} (95% interval {interval}, p = {p})"


def evidence_cells(evidence: Evidence | None) -> list[str]:
    """Return tau, its interval and both p-values as text; a dash for what is unknown."""
    if evidence is None:
        return ["–"] * 4
    low, high = evidence.interval
    p_length = "–" if evidence.p_length is None else f"{evidence.p_length:.2g}"
    return [f"{evidence.tau:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{evidence.p:.2g}", p_length]


def study_notes(base: Base, benchmark: str, measurements: Sequence[Measurement]) -> list[str]:
    """Return what studies of a benchmark say without any score: the best config of this student, if they have it.

    "Measure before you distill" says that its untrained base is above what distillation reached with students of its
    size. The accuracy of the base is that of a study, or of `cot-distill evaluate`.
    """
    here = [m for m in measurements if m.section.place.benchmark == benchmark]
    own = [m for m in here if m.student == base.name]
    sentences = [f"Measured: {m.name} has its highest accuracy with `{m.best[0]}`, {m.best[1]:.1%}." for m in own]
    baselines = _evaluated(base) | {m.section.place.task: m.baseline for m in own if m.section.baselines}
    for other in of_size(here, base.parameters):
        (config, accuracy), task = other.best, other.section.place.task
        if task in baselines and baselines[task] >= accuracy:
            sentences.append(
                f"Measure before you distill: the accuracy of the untrained {base.name} is {baselines[task]:.1%}, but "
                f"{other.name} reached at most {accuracy:.1%} by distillation, with `{config}`."
            )
    return sentences


def _evaluated(base: Base) -> dict[str, float]:
    """Return the accuracy of the untrained base on each task that it was evaluated on."""
    folder = Path(base.path)
    if not (folder / RESULTS).is_dir():
        return {}
    try:
        return {score.task: score.accuracy for score in read_scores(Student.open(folder))}
    except CotDistillError as error:
        message(f"not read: {error}")
        return {}
