"""Scores as a Markdown table, and the paragraph that explains it.

`name` replaces the students' folders, for a page about one student.
"""

from collections.abc import Sequence

from ..evaluation.scores import Score, label, macro_scores
from ..evaluation.tasks import groups
from ..templates import render_page


def score_table(scores: Sequence[Score], name: str | None = None) -> str:
    """Return the scores as a Markdown table, followed by the macro averages of complete groups."""
    macros = macro_scores(scores, groups())
    return render_page("scores.md.jinja", scores=scores, macros=macros, label=lambda student: name or label(student))


def score_notes(scores: Sequence[Score], name: str | None = None) -> str:
    """Return the paragraph that explains the columns of the table."""
    return render_page("score_notes.md.jinja", scores=scores, label=lambda student: name or label(student))
