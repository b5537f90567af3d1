"""What each control of the explorer's page shows, without the page itself."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..messages import count
from ..names import eval_config
from ..templates import printable
from .answers import Answer, Samples, read_answers, read_study
from .pages import arms_table, levels_page, note, question_page, questions_table
from .rows import Corpus, benchmark_of, word_quantiles


SHOWN = 100  # questions of a list
SHOW = {"all": "all", "wrong": "answered wrong", "flagged": "flagged", "longest": "longest first"}


class Explorer:
    """What each control of the page shows."""

    def __init__(self, corpus: Corpus, samples: tuple[Samples, ...], studies: Sequence[Path]) -> None:
        self.corpus, self.samples = corpus, samples
        self.studies = {str(folder): read_study(folder) for folder in studies}

    def find(self, part: str, search: str, show: str) -> tuple[str, list[tuple[str, str]]]:
        """Return how many questions of a part match, and the first ones as (text, id)."""
        questions = self._questions(part)
        if search.strip():
            pattern = {"pattern": search.strip(), "ignore_case": True}
            matches = (pc.match_substring(questions[name], **pattern) for name in ("question_first", "id"))
            questions = questions.filter(pc.or_(*matches))
        if show in ("wrong", "flagged"):
            questions = questions.filter(questions[f"{show}_any"])
        if show == "longest":
            questions = questions.sort_by([("length_max", "descending")])
        first = questions.slice(0, SHOWN).to_pylist()
        labels = [(textwrap.shorten(printable(row["question_first"]), 120) or row["id"], row["id"]) for row in first]
        more = f", the first {SHOWN} shown" if len(questions) > SHOWN else ""
        return count(len(questions), "question") + more, labels

    def _questions(self, part: str) -> pa.Table:
        """Return one row per question: its text, whether a text about it is wrong or flagged, and the longest one."""
        rows = self.corpus.rows(part)
        table = pa.table(
            {
                "id": rows["id"],
                "question": rows["question"],
                "wrong": pc.fill_null(pc.invert(rows["is_correct"]), False),
                "flagged": pc.greater(pc.list_value_length(rows["flags"]), 0),
                "length": pc.fill_null(pc.utf8_length(rows["rationale"]), 0),
            }
        )
        known = set(rows["id"].to_pylist()) if self.samples else ()
        answered = [
            {
                "id": id_, "question": "", "wrong": not answer.correct, "flagged": bool(answer.notes),
                "length": len(answer.text),
            }
            for id_, answers in self._answers(part).items() if id_ in known for answer in answers
        ]  # fmt: skip
        both = pa.concat_tables([table, pa.Table.from_pylist(answered, schema=table.schema)])
        kinds = [("question", "first"), ("wrong", "any"), ("flagged", "any"), ("length", "max")]
        return both.group_by("id", use_threads=False).aggregate(kinds)  # in the order of the rows

    def _answers(self, part: str) -> dict[str, list[Answer]]:
        return read_answers(self.samples, benchmark_of(part))

    def question(self, part: str, id_: str | None) -> str:
        """Return the page of a question. It says so if no question matches."""
        rows = self.corpus.question(part, id_) if id_ else []
        return (
            question_page(rows, self._answers(part).get(rows[0]["id"], [])) if rows else note("No question matches.")
        )

    def levels(self, part: str) -> str:
        """Return the page of the lengths of a benchmark's CoT."""
        return levels_page(self.corpus.parts[part], word_quantiles(self.corpus.rows(part)))

    def places(self, study: str) -> list[str]:
        """Return the students and tasks of a study."""
        return sorted(self.studies[study]["place"].unique().to_pylist())

    def study(self, study: str, place: str, search: str) -> tuple[str, str]:
        """Return a study's accuracies in one place, and its questions that match, the hardest first.

        Questions whose text the release does not have come last.
        """
        outcomes = self.studies[study]
        outcomes = outcomes.filter(pc.equal(outcomes["place"], place))
        counts: dict[str, dict[str, tuple[int, int]]] = {}
        grouped = outcomes.group_by(["id", "arm"]).aggregate([("correct", "sum"), ("correct", "count")])
        for id_, arm, right, of in zip(*(grouped[name].to_pylist() for name in grouped.column_names)):
            counts.setdefault(id_, {})[arm] = (right, of)
        texts = self._texts(outcomes["benchmark"][0].as_py()) if counts else {}
        words = search.strip().casefold()
        hardest = sorted(
            (id_ for id_ in counts if words in texts.get(id_, "").casefold() or words in id_),
            key=lambda id_: (id_ not in texts, sum(right for right, _ in counts[id_].values()), id_),
        )
        return arms_table(outcomes), questions_table({id_: counts[id_] for id_ in hardest[:SHOWN]}, texts)

    def _texts(self, benchmark: str) -> dict[str, str]:
        """Return the test questions of a benchmark that the release has, by id."""
        if (part := eval_config(benchmark)) not in self.corpus.parts:
            return {}
        rows = self.corpus.rows(part)
        return dict(zip(rows["id"].to_pylist(), rows["question"].to_pylist()))
