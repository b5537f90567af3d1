"""The names of the project: teachers, granularities, formats, and the config, mixture and folder names they form.

>>> name = ConfigName.parse("gpt4o-fine-gsm8k")
>>> str(name), name.granularity, name.format
('gpt4o-l5-gsm8k', 5, 'cot')
>>> mixture = Mixture.parse("0.2*gpt4o-fine-svamp + 0.8*gpt4o-coarse-svamp")
>>> str(mixture), mixture.folder
('0.2*gpt4o-l5-svamp+0.8*gpt4o-l1-svamp', '0.2-gpt4o-l5-svamp+0.8-gpt4o-l1-svamp')

Source: paper section 3 (arXiv 2502.18001) and the manifest of its release, `data/dataset_info.json`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .benchmarks import BENCHMARKS
from .errors import CotDistillError, nearest


TEACHERS = {
    "gpt4o": "GPT-4o",
    "gemini": "Gemini-1.5-Flash",
    "llama70b": "LLaMA 3 70B",
    "human": "human annotators",
    "oracle": "the exact solver of arith",
    "answer": "no teacher: answers only, without CoT",
}
TEACHERS_WITHOUT_GRANULARITY = ("human", "answer")
GRANULARITIES = (1, 2, 3, 4, 5, 6)  # from tersest to finest
GRANULARITY_ALIASES = {"coarse": 1, "medium": 3, "fine": 5}
FORMATS = ("cot", "l2m", "rar", "symbolic")  # plain, least-to-most, rephrase and respond, symbolic
DEFAULT_FORMAT = "cot"  # never written in a name
RELEASE_NAME = "eit/cot-distill"  # the release's default folder, and the dataset's name on the Hub
HOME_PAGE = "https://huggingface.co/datasets/eit/cot-distill"  # where this package and its data are documented
ROW_PARTS = ("question", "response", "answer", "choices")  # of a user's own rows, which `build --map` names
OUTCOMES = "outcomes.parquet"  # the file of all answers of a study
EVAL_PREFIX = "eval"  # `eval-{benchmark}` holds the test split

SLUG = re.compile(r"[a-z0-9_]+")  # a teacher or benchmark
_PARTS = (*FORMATS, *GRANULARITY_ALIASES, *(f"l{level}" for level in GRANULARITIES))  # the other parts of a name


@dataclass(frozen=True, order=True)
class ConfigName:
    """Name of a training config: `{teacher}-{granularity}[-{format}]-{benchmark}`.

    `granularity` is 1 (tersest) to 6 (finest), and 0 for the teachers `human` and `answer`, which have none.
    `str()` gives the canonical name with `l1` … `l6`; `parse` also accepts `coarse`, `medium` and `fine`. A new
    teacher or benchmark is any slug `[a-z0-9_]+`: a release knows which ones it has. Raises CotDistillError if a part
    is unknown or does not fit the teacher.
    """

    teacher: str
    granularity: int
    format: str
    benchmark: str

    def __post_init__(self) -> None:
        if self.teacher == EVAL_PREFIX or not SLUG.fullmatch(self.teacher):
            raise CotDistillError(
                f"Unknown teacher {self.teacher!r}: use {nearest(self.teacher, TEACHERS)}, "
                f"or a new name of lower-case letters, digits and underscores other than `{EVAL_PREFIX}`."
            )
        if not SLUG.fullmatch(self.benchmark) or self.benchmark in _PARTS:
            raise CotDistillError(
                f"Unknown benchmark {self.benchmark!r}: use {nearest(self.benchmark, BENCHMARKS, limit=8)}, or a name "
                "of lower-case letters, digits and underscores that is neither a granularity nor a format."
            )
        if self.format not in FORMATS:
            raise CotDistillError(f"Unknown format {self.format!r}: use {nearest(self.format, FORMATS)}.")
        teacher, benchmark = self.teacher, self.benchmark
        if teacher in TEACHERS_WITHOUT_GRANULARITY:
            if self.granularity or self.format != DEFAULT_FORMAT:
                raise CotDistillError(
                    f"The teacher `{teacher}` has no granularity and no format: use `{teacher}-{benchmark}`."
                )
        elif self.granularity not in GRANULARITIES:
            levels = f"`{teacher}-l1-{benchmark}` to `{teacher}-l6-{benchmark}`"
            raise CotDistillError(f"The teacher `{teacher}` needs a granularity: use {levels}.")

    @classmethod
    def parse(cls, name: str) -> ConfigName:
        """Parse a config name, canonical (`gpt4o-l5-gsm8k`) or with an alias (`gpt4o-fine-gsm8k`)."""
        teacher, *middle, benchmark = name.split("-") if name.count("-") else (name, "")
        granularity = parse_granularity(middle.pop(0)) if middle and middle[0] not in FORMATS else 0
        format_ = middle.pop(0) if middle else DEFAULT_FORMAT
        if middle:
            layout = "`{teacher}-{granularity}[-{format}]-{benchmark}`"
            raise CotDistillError(f"Too many parts in {name!r}: use {layout}.")
        return cls(teacher, granularity, format_, benchmark)

    def __str__(self) -> str:
        level = [f"l{self.granularity}"] if self.granularity else []
        format_ = [self.format] if self.format != DEFAULT_FORMAT else []
        return "-".join([self.teacher, *level, *format_, self.benchmark])

    @property
    def alias(self) -> str | None:
        """The name with `coarse`, `medium` or `fine`, or None if its granularity has no alias."""
        for word, level in GRANULARITY_ALIASES.items():
            if level == self.granularity:
                return str(self).replace(f"-l{level}-", f"-{word}-", 1)
        return None


def parse_granularity(word: str) -> int:
    """Return the level of `l1` … `l6`, `coarse`, `medium` or `fine`. Raises CotDistillError if it is none of them."""
    if word in GRANULARITY_ALIASES:
        return GRANULARITY_ALIASES[word]
    levels = [f"l{level}" for level in GRANULARITIES]
    if word not in levels:
        allowed = nearest(word, [*levels, *GRANULARITY_ALIASES], limit=9)
        raise CotDistillError(f"Unknown granularity {word!r}: use {allowed}.")
    return int(word[1:])


@dataclass(frozen=True)
class Mixture:
    """Configs of one benchmark with their weights, which sum to 1. A single config has the weight 1.

    Source of the idea, and of 0.2 fine to 0.8 coarse as a start for small students: "Small Models Struggle to Learn
    from Strong Reasoners" (arXiv 2502.12143, Mix-Long). Raises CotDistillError if a weight is not a share, a config is
    repeated, or the benchmarks differ.
    """

    configs: tuple[ConfigName, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(not 0 < weight <= 1 for weight in self.weights) or not math.isclose(sum(self.weights), 1):
            weights = ", ".join(f"{weight:g}" for weight in self.weights)
            raise CotDistillError(
                f"The weights of a mixture must be positive and sum to 1, got {weights}: write "
                "`0.2*gpt4o-fine-svamp + 0.8*gpt4o-coarse-svamp`."
            )
        if len(set(self.configs)) < len(self.configs):
            raise CotDistillError(f"The mixture `{self}` names a config twice: add its weights.")
        if len({config.benchmark for config in self.configs}) > 1:
            raise CotDistillError(f"The mixture `{self}` has several benchmarks: use configs of one benchmark.")

    @classmethod
    def parse(cls, text: str) -> Mixture:
        """Parse a config name, or `WEIGHT*CONFIG + WEIGHT*CONFIG + …`."""
        parts = [part.strip().rpartition("*") for part in text.split("+")]
        try:
            weights = tuple(float(weight) if star else 1.0 for weight, star, _ in parts)
        except ValueError as error:
            raise CotDistillError(
                f"{text!r} has a weight that is not a number: write `0.2*CONFIG + 0.8*CONFIG`."
            ) from error
        return cls(tuple(ConfigName.parse(name.strip()) for _, _, name in parts), weights)

    def __str__(self) -> str:
        if len(self.configs) == 1:
            return str(self.configs[0])
        return "+".join(f"{weight!r}*{config}" for weight, config in zip(self.weights, self.configs))

    @property
    def folder(self) -> str:
        """The name of the mixture's folder below a student: `str()` without `*`, which a shell expands."""
        return str(self).replace("*", "-")

    @property
    def benchmark(self) -> str:
        """The benchmark of all its configs."""
        return self.configs[0].benchmark


def eval_config(split: str) -> str:
    """Return the name of the config that holds a test split, such as `eval-svamp`."""
    return f"{EVAL_PREFIX}-{split}"


def student_dir(student: str, config: str, seed: int) -> Path:
    """Return the folder of a trained student; `config` is a config name or `Mixture.folder`."""
    return Path("runs", student, config, f"seed{seed}")


def untrained_dir(student: str) -> Path:
    """Return the folder of an untrained student, the baseline of its trained ones."""
    return Path("runs", student, "untrained")


DEMO_STUDENT = "demo"
DEMO_STUDENTS = ("demo-small", "demo", "demo-large")
