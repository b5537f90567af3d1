"""Scores: counts of one student on one task, and the macro average over a group of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from scipy.stats import binomtest


@dataclass(frozen=True)
class Score:
    """One student on one task: counts of its `n` questions under the headline filter.

    `limit` is null if all questions of the task were asked. `truncated` answers hit `max_gen_toks`; `finished_correct`
    counts the correct ones among the others. `timed_out` LaTeX comparisons count as wrong. `flexible_correct` is null
    for a task with one filter. `estimated`: the results are of the bare `lm_eval`, so `truncated` and
    `mean_output_tokens` were estimated from the text.
    """

    student: Path
    task: str
    version: float
    n: int
    limit: int | None
    correct: int
    flexible_correct: int | None
    no_answer: int
    truncated: int
    finished_correct: int
    timed_out: int
    mean_output_tokens: float
    estimated: bool
    command: str  # repeats the evaluation
    prompt: str  # of the first question
    gold: str
    answer: str  # to that prompt, as the student wrote it

    @property
    def accuracy(self) -> float:
        """Share of correct answers, between 0 and 1."""
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the accuracy over the questions. It does not cover other seeds."""
        low, high = binomtest(self.correct, self.n).proportion_ci(method="wilson")
        return float(low), float(high)

    @property
    def flexible_accuracy(self) -> float | None:
        """Share of correct answers under the flexible filter, between 0 and 1."""
        return None if self.flexible_correct is None else self.flexible_correct / self.n

    @property
    def finished_accuracy(self) -> float | None:
        """Accuracy on the answers that ended before `max_gen_toks`, between 0 and 1; null if none did."""
        finished = self.n - self.truncated
        return self.finished_correct / finished if finished else None


@dataclass(frozen=True)
class MacroScore:
    """One student on a group of tasks: the mean of the tasks' accuracies, each with the same weight.

    The 95% interval combines the tasks' Wilson limits as Newcombe (1998) does for a difference: over the questions,
    not over the choice of benchmarks.
    """

    student: Path
    group: str
    scores: list[Score]

    @property
    def accuracy(self) -> float:
        """The mean accuracy, between 0 and 1."""
        return mean(score.accuracy for score in self.scores)

    @property
    def flexible_accuracy(self) -> float:
        """The mean accuracy under the flexible filter, which every task of a group has."""
        return mean(score.flexible_accuracy or 0 for score in self.scores)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval, within 0 and 1."""
        below = sum((score.accuracy - score.interval[0]) ** 2 for score in self.scores) ** 0.5
        above = sum((score.interval[1] - score.accuracy) ** 2 for score in self.scores) ** 0.5
        return self.accuracy - below / len(self.scores), self.accuracy + above / len(self.scores)


def macro_scores(scores: Sequence[Score], groups: Mapping[str, Sequence[str]]) -> list[MacroScore]:
    """Return the macro average of each student on each group whose tasks all have scores with the same limit."""
    averages = []
    for student in dict.fromkeys(score.student for score in scores):
        by_task = {score.task: score for score in scores if score.student == student}
        for group, tasks in groups.items():
            members = [by_task[task] for task in tasks if task in by_task]
            if len(members) == len(tasks) and len({score.limit for score in members}) == 1:
                averages.append(MacroScore(student, group, members))
    return averages


def label(student: Path) -> str:
    """Return a student's name in tables and figures: its folder without `runs/`."""
    return str(student).removeprefix("runs/")
