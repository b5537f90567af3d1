"""What the answers of teachers are worth: what is kept and why not, whether levels and formats differ, and their cost.

cot-distill annotate status --teacher qwen3_32b llama4_scout --price 0.2,0.6 0.1,0.3

A question counts once for each config, and as a row if one of its samples is kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import CotDistillError
from ..names import DEFAULT_FORMAT, ConfigName
from ..release.levels import separation, separation_lines
from ..release.overlap import SHINGLE, ngrams
from ..sources.generated import (
    KEPT,
    REASONS,
    Answer,
    has_shape,
    judge,
    latest_positions,
    load_answers,
    read_answers,
)
from ..templates import aligned
from .spending import Price


Question = tuple[int, str, str]  # level, format, id: what teachers are compared on


class Outcome(NamedTuple):
    """What became of a request. A request that was sent again has the tokens of all its answers.

    Not every server counts tokens: without `is_counted`, there are more of them.
    """

    question: Question
    sample: int
    reason: str
    words: int  # of the rationale; 0 if it is not kept
    prompt_tokens: int = 0
    output_tokens: int = 0
    is_counted: bool = True


@dataclass
class ConfigCheck:
    """The answers of a teacher to one config."""

    config: ConfigName
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by key of the request
    texts: set[int] = field(default_factory=set)  # hashes of the kept texts
    ngrams: set[int] = field(default_factory=set)  # hashes of their word 3-grams
    total_ngrams: int = 0
    in_shape: int = 0  # kept texts that look like their format; plain CoT has no shape

    def add(self, answer: Answer) -> None:
        """Count one line of a store, which may replace an earlier one."""
        reason, values = judge(answer, answer.gold)
        question = self.config.granularity, self.config.format, answer.id
        length = len(values["rationale"].split()) if reason == KEPT else 0
        new = Outcome(question, answer.sample, reason, length)
        earlier = self.outcomes.get(answer.key, new)
        self.outcomes[answer.key] = new._replace(
            prompt_tokens=earlier.prompt_tokens + (answer.prompt_tokens or 0),
            output_tokens=earlier.output_tokens + (answer.output_tokens or 0),
            is_counted=earlier.is_counted and None not in (answer.prompt_tokens, answer.output_tokens),
        )
        if reason == KEPT:
            text = values["rationale"].split()
            grams = ngrams(text, SHINGLE)
            self.texts.add(hash(tuple(text)))
            self.ngrams.update(map(hash, grams))
            self.total_ngrams += max(len(text) - SHINGLE + 1, 0)
            self.in_shape += has_shape(self.config.format, answer.text)

    @property
    def lengths(self) -> dict[str, int]:
        """The words of each row by question id: of the kept sample with the lowest number."""
        kept = sorted((o for o in self.outcomes.values() if o.reason == KEPT), key=lambda o: -o.sample)
        return {outcome.question[-1]: outcome.words for outcome in kept}

    def cells(self) -> list[str]:
        """Return the cells of the table of configs."""
        reasons, lengths = Counter(outcome.reason for outcome in self.outcomes.values()), self.lengths
        with_shape = reasons[KEPT] if self.config.format != DEFAULT_FORMAT else 0
        return [
            str(self.config), str(len(self.outcomes)), *(str(reasons[name]) for name in REASONS), str(len(lengths)),
            _ratio(sum(lengths.values()), len(lengths), "{:.1f}"), _ratio(self.in_shape, with_shape, "{:.0%}"),
            str(reasons[KEPT] - len(self.texts)), _ratio(len(self.ngrams), self.total_ngrams, "{:.2f}"),
        ]  # fmt: skip


_CONFIG_HEADER = ["config", "answers", *REASONS, "rows", "words", "in shape", "duplicates", "distinct 3-grams"]
_TEACHER_HEADER = ["teacher", "answers", *REASONS, "rows", "output tokens", "cost", "cost per row"]


def check_store(store: Path) -> list[ConfigCheck]:
    """Return the checks of the configs of a store, in the order of their names. Raises as `read_answers` does."""
    checks: dict[str, ConfigCheck] = {}
    for answer in read_answers(store):
        if answer.config not in checks:
            checks[answer.config] = ConfigCheck(ConfigName.parse(answer.config))
        checks[answer.config].add(answer)
    return [checks[name] for name in sorted(checks)]


def judged_answers(store: Path, checks: Sequence[ConfigCheck]) -> Iterator[tuple[Answer, str]]:
    """Yield the latest answer to each request, and its reason in the checks of the store: judging takes long."""
    reasons = {key: outcome.reason for check in checks for key, outcome in check.outcomes.items()}
    for positions in latest_positions(store).values():
        for answer in load_answers(store, positions):
            yield answer, reasons.get(answer.key) or judge(answer, answer.gold)[0]  # it may have arrived since


def price_of_each(prices: Sequence[Price], stores: Sequence[Path]) -> list[Price]:
    """Return the price of each store, or none without prices. Raises CotDistillError if there is another number."""
    if len(prices) not in (0, 1, len(stores)):
        raise CotDistillError(f"There are {len(prices)} prices for {len(stores)} teachers: pass one, or one for each.")
    return [*prices] * (len(stores) if len(prices) == 1 else 1)


def verification(checks: Mapping[str, Sequence[ConfigCheck]], prices: Sequence[Price] = ()) -> str:
    """Return the tables of teachers: their configs, the lengths of adjacent levels, and the teachers side by side.

    `checks` has those of each teacher's store, and `prices` none or one for each.
    """
    every = [check for of_teacher in checks.values() for check in of_teacher]
    lines = [_table(_CONFIG_HEADER, [check.cells() for check in every]), ""]
    lines += separation_lines(separation({check.config: check.lengths for check in every}))
    return "\n".join([*lines, "", *_bake_off(checks, prices)])


def _bake_off(checks: Mapping[str, Sequence[ConfigCheck]], prices: Sequence[Price]) -> list[str]:
    """Return a table of the teachers on the questions, at the levels and in the formats, that all of them have."""
    outcomes = {
        teacher: [outcome for check in of_teacher for outcome in check.outcomes.values()]
        for teacher, of_teacher in checks.items()
    }
    common = set.intersection(*({outcome.question for outcome in found} for found in outcomes.values()))
    if not common:
        return ["There is no question that every teacher was asked at the same level and in the same format."]
    rows = []
    for number, (teacher, found) in enumerate(outcomes.items()):
        shared = [outcome for outcome in found if outcome.question in common]
        rows.append(_teacher_cells(teacher, shared, prices[number] if prices else None))
    return [f"On the {len(common)} questions (counted at each level and format) of every teacher:", "",
            _table(_TEACHER_HEADER, rows)]  # fmt: skip


def _teacher_cells(teacher: str, outcomes: Sequence[Outcome], price: Price | None) -> list[str]:
    reasons = Counter(outcome.reason for outcome in outcomes)
    rows = len({outcome.question for outcome in outcomes if outcome.reason == KEPT})
    prompt, output = (sum(tokens) for tokens in zip(*((o.prompt_tokens, o.output_tokens) for o in outcomes)))
    cost = price.cost(prompt, output) if price else None
    at_least = "" if all(outcome.is_counted for outcome in outcomes) else "≥ "
    return [
        teacher, str(len(outcomes)), *(str(reasons[name]) for name in REASONS), str(rows), f"{at_least}{output}",
        *(["–", "–"] if cost is None else [f"{at_least}{cost:.4g}", at_least + _ratio(cost, rows, "{:.3g}")]),
    ]  # fmt: skip


def _ratio(part: float, whole: float, layout: str) -> str:
    return layout.format(part / whole) if whole else "–"


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    marks = ["---", *["--:"] * (len(header) - 1)]
    return aligned("\n".join("| " + " | ".join(row) + " |" for row in [header, marks, *rows]))
