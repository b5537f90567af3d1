"""The words of the project: teachers, granularities, formats, benchmarks, and the config name that joins them.

>>> name = ConfigName.parse("gpt4o-fine-gsm8k")
>>> str(name), name.granularity, name.format
('gpt4o-l5-gsm8k', 5, 'cot')

Source of the words: paper section 3 (arXiv 2502.18001) and the manifest of its release, `data/dataset_info.json`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass


TEACHERS = {
    "gpt4o": "GPT-4o",
    "gemini": "Gemini-1.5-Flash",
    "llama70b": "LLaMA 3 70B",
    "human": "human annotators",
    "oracle": "the exact solver of arith",
    "answer": "nobody: the answer alone, without CoT",
}
TEACHERS_WITHOUT_GRANULARITY = ("human", "answer")
GRANULARITIES = (1, 2, 3, 4, 5, 6)  # from tersest to finest
GRANULARITY_ALIASES = {"coarse": 1, "medium": 3, "fine": 5}
FORMATS = ("cot", "l2m", "rar", "symbolic")  # plain, least-to-most, rephrase and respond, symbolic
DEFAULT_FORMAT = "cot"  # never written in a name
BENCHMARK_NAMES = ("svamp", "gsm8k", "aqua", "math", "csqa", "obqa", "strategyqa", "arith")
EDITIONS = ("clean", "paper", "aligned")  # which rows; `editions.py` says what each is
RELEASE_NAME = "eit/cot-distill"  # of the release's folder, and of the dataset on the Hub
EVAL_PREFIX = "eval"  # `eval-{benchmark}` holds the test split

_TEACHER_SLUG = re.compile(r"[a-z0-9_]+")


class CotDistillError(ValueError):
    """What the user gave cannot be used; the message is one sentence that says why, and the exit code is 2."""


def nearest(given: str, allowed: Iterable[str], *, limit: int = 6) -> str:
    """List `allowed` for an error message, the ones that resemble `given` first, at most `limit` of them."""
    allowed = list(allowed)
    close = difflib.get_close_matches(given, allowed, n=limit, cutoff=0.5)
    ordered = close + [name for name in allowed if name not in close]
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(f"`{name}`" for name in ordered[:limit]) + more


@dataclass(frozen=True, order=True)
class ConfigName:
    """Name of a training config: `{teacher}-{granularity}[-{format}]-{benchmark}`.

    `granularity` is 1 (tersest) to 6 (finest), and 0 for the teachers `human` and `answer`, which have none.
    `str()` gives the canonical name, `l1` … `l6`; `coarse`, `medium` and `fine` are only parsed.

    Raises:
        CotDistillError: a part is unknown, or does not go with the teacher.
    """

    teacher: str
    granularity: int
    format: str
    benchmark: str

    def __post_init__(self) -> None:
        if self.teacher == EVAL_PREFIX or not _TEACHER_SLUG.fullmatch(self.teacher):
            raise CotDistillError(
                f"Unknown teacher {self.teacher!r}: use {nearest(self.teacher, TEACHERS)}, "
                f"or a new slug of lower-case letters, digits and underscores other than `{EVAL_PREFIX}`."
            )
        if self.benchmark not in BENCHMARK_NAMES:
            raise CotDistillError(
                f"Unknown benchmark {self.benchmark!r}: use {nearest(self.benchmark, BENCHMARK_NAMES, limit=8)}."
            )
        if self.format not in FORMATS:
            raise CotDistillError(f"Unknown format {self.format!r}: use {nearest(self.format, FORMATS)}.")
        if self.teacher in TEACHERS_WITHOUT_GRANULARITY:
            if self.granularity or self.format != DEFAULT_FORMAT:
                raise CotDistillError(
                    f"The teacher `{self.teacher}` has no granularities and no formats: "
                    f"use `{self.teacher}-{self.benchmark}`."
                )
        elif self.granularity not in GRANULARITIES:
            raise CotDistillError(
                f"The teacher `{self.teacher}` needs a granularity: use `{self.teacher}-l1-{self.benchmark}` "
                f"to `{self.teacher}-l6-{self.benchmark}`."
            )

    @classmethod
    def parse(cls, name: str) -> ConfigName:
        """Read a config name, canonical (`gpt4o-l5-gsm8k`) or with an alias (`gpt4o-fine-gsm8k`)."""
        teacher, *middle, benchmark = name.split("-") if name.count("-") else (name, "")
        granularity = _parse_granularity(middle.pop(0)) if middle and middle[0] not in FORMATS else 0
        format_ = middle.pop(0) if middle else DEFAULT_FORMAT
        if middle:
            raise CotDistillError(
                f"Too many parts in {name!r}: use `{{teacher}}-{{granularity}}[-{{format}}]-{{benchmark}}`."
            )
        return cls(teacher, granularity, format_, benchmark)

    def __str__(self) -> str:
        level = [f"l{self.granularity}"] if self.granularity else []
        format_ = [self.format] if self.format != DEFAULT_FORMAT else []
        return "-".join([self.teacher, *level, *format_, self.benchmark])

    @property
    def alias(self) -> str | None:
        """The same name with `coarse`, `medium` or `fine`, where the granularity has such a word."""
        words = {level: word for word, level in GRANULARITY_ALIASES.items()}
        return (
            str(self).replace(f"-l{self.granularity}-", f"-{words[self.granularity]}-", 1)
            if self.granularity in words
            else None
        )


def _parse_granularity(word: str) -> int:
    if word in GRANULARITY_ALIASES:
        return GRANULARITY_ALIASES[word]
    known = [f"l{level}" for level in GRANULARITIES]
    if word not in known:
        raise CotDistillError(
            f"Unknown granularity {word!r}: use {nearest(word, [*known, *GRANULARITY_ALIASES], limit=9)}."
        )
    return int(word[1:])


def eval_config(benchmark: str) -> str:
    """Name of the config that holds the test split of `benchmark`, such as `eval-svamp`."""
    return f"{EVAL_PREFIX}-{benchmark}"
