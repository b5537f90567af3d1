"""The editions: which rows a release holds, and what it promises of them.

Every difference between editions is a field of `Edition`; no other module compares an edition's name.
"""

import re
from dataclasses import dataclass

from ..errors import CotDistillError, nearest


@dataclass(frozen=True)
class Edition:
    """One selection of the rows.

    `summary` and `purpose` are for the tables of editions, `revision` is its branch on the Hub.
    `keeps_test_questions`: rows that leak a test question or contradict the gold stay, as in the paper's training.
    `teachers_own_text`: the completion is the teacher's own repaired text. `aligned`: the configs of a teacher and
    benchmark have the same questions in the same order.
    """

    name: str
    summary: str
    purpose: str
    revision: str
    keeps_test_questions: bool = False
    teachers_own_text: bool = False
    aligned: bool = False

    @classmethod
    def parse(cls, name: str) -> "Edition":
        """Return the edition called `name`. Raises CotDistillError if there is no such edition."""
        if name not in EDITIONS:
            raise CotDistillError(f"Unknown edition {name!r}: use {nearest(name, EDITIONS)}.")
        return EDITIONS[name]

    @classmethod
    def of_revision(cls, revision: str | None) -> "Edition | None":
        """Return the edition of a Hub branch or tag (`v0.1.0`, `v0.1.0-paper`), or None if it is neither."""
        if re.fullmatch(r"v\d[^-]*", revision or ""):
            return DEFAULT_EDITION
        suffix = (revision or "").rpartition("-")[2]
        return next((edition for edition in EDITIONS.values() if edition.revision == suffix), None)


DEFAULT_EDITION = Edition(
    "clean",
    "Repaired. Drops test questions, rows whose teacher contradicts the gold, and texts without reasoning or "
    "conclusion. Skips benchmarks without a test split unless `--unchecked` is given.",
    purpose="train a student",
    revision="main",
)
_PAPER = Edition(
    "paper",
    "The rows that the paper trained on, including test questions and contradictions. The completion is the teacher's "
    "own text, with LaTeX, line breaks and tags repaired.",
    purpose="reproduce the paper",
    revision="paper",
    keeps_test_questions=True,
    teachers_own_text=True,
)
_ALIGNED = Edition(
    "aligned",
    "`clean`, and only the questions that all levels and formats of a teacher and benchmark share, once each and in "
    "the same order.",
    purpose="compare levels and formats; join on `id` to compare teachers",
    revision="aligned",
    aligned=True,
)
EDITIONS = {edition.name: edition for edition in (DEFAULT_EDITION, _PAPER, _ALIGNED)}
