"""The paper's release as a source of rows: each file parsed, repaired, and joined to its golds by question id.

data = data_folder(Path("../shared/upstream"))
upstream = source(data, BENCHMARKS)
rows = upstream.readers[ConfigName.parse("gpt4o-l5-svamp")](upstream.golds).rows
"""

from collections.abc import Collection
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ..benchmarks import BENCHMARKS
from ..errors import CotDistillError, nearest
from ..grading.tidying import tidy
from ..schema import ConfigRows, Gold, Golds, Row, Source, cot_row, question_id
from .manifest import SURROGATE, Entry, data_path, read_manifest
from .questions import parse_question
from .records import load_records
from .repairs import repair_gold, repair_text
from .responses import concludes_otherwise, read_response, without_thinking_tags
from .test_splits import no_test_split


GOLD_TEACHER = "answer"  # its files hold the golds
MAX_TEXT = 100_000  # characters of one field; the longest of the release has 13,045

_SOLUTION = "solution"  # the column of MATH's own solutions
_OTHER_RESPONSE = "_output"  # `chatgpt_output` in a file whose column is `gemini_output`


def source(data: Path, benchmarks: Collection[str]) -> Source:
    """Return a reader for each config of the manifest in `data` whose file is present, and the golds.

    Configs of other benchmarks than `benchmarks` are skipped: without a test split, leaks cannot be detected. Raises
    CotDistillError if the manifest cannot be read.
    """
    entries, unreadable = read_manifest(data)
    result = Source(skipped=unreadable)
    broken: dict[str, str] = {}  # without its golds, a benchmark's contradictions would stay
    for entry in sorted(entries, key=lambda entry: entry.config.teacher != GOLD_TEACHER):  # the golds first
        name, benchmark = str(entry.config), entry.config.benchmark
        try:
            if not data_path(entry, data).is_file():
                result.missing[name] = entry.file_name
            elif benchmark not in benchmarks:
                result.skipped[name] = no_test_split(benchmark)
            elif benchmark in broken:
                result.skipped[name] = f"its golds cannot be read: {broken[benchmark]}"
            else:
                if entry.config.teacher == GOLD_TEACHER:
                    result.golds |= read_golds(entry, data)
                result.readers[entry.config] = partial(read_rows, entry, data)
        except CotDistillError as error:
            result.skipped[name] = str(error)
            if entry.config.teacher == GOLD_TEACHER:
                broken[benchmark] = str(error)
    return result


def read_golds(entry: Entry, data: Path) -> dict[str, Gold]:
    """Return the golds of a benchmark by question id, from its answer-only file.

    Raises CotDistillError, which names the file, if it cannot be read or a row has no question or no response.
    """
    kind = BENCHMARKS[entry.config.benchmark].answer_kind
    golds = {}
    for index, row in enumerate(load_records(data_path(entry, data), entry.file_name)):
        question, choices, _ = _question(entry, index, row)
        released = _text(entry, index, row, entry.response_column)
        solution = None if row.get(_SOLUTION) is None else _text(entry, index, row, _SOLUTION)
        answer, repairs = repair_gold(released, kind, solution)
        golds[question_id(entry.config.benchmark, question, choices)] = Gold(answer, released, repairs)
    return golds


def read_rows(entry: Entry, data: Path, golds: Golds) -> ConfigRows:
    """Return the entry's rows, each joined to its gold by question id. Raises the errors of `read_golds`."""
    loaded = load_records(data_path(entry, data), entry.file_name)
    rows, dropped = [], {"other_teacher": 0, "no_answer": 0, "empty": 0}
    for index, raw in enumerate(loaded):
        if entry.response_column not in raw and any(key.endswith(_OTHER_RESPONSE) for key in raw):
            dropped["other_teacher"] += 1  # keyed under another teacher's output
        elif raw.get(entry.response_column) == "":
            dropped["empty"] += 1
        elif (row := _row(entry, index, raw, golds)) is None:
            dropped["no_answer"] += 1
        else:
            rows.append(row)
    return ConfigRows(rows, len(loaded), {reason: count for reason, count in dropped.items() if count})


def _row(entry: Entry, index: int, raw: dict[str, Any], golds: Golds) -> Row | None:
    config, kind = entry.config, BENCHMARKS[entry.config.benchmark].answer_kind
    question, choices, repairs = _question(entry, index, raw)
    gold = golds.get(question_id(config.benchmark, question, choices))
    answer = gold.answer if gold else None
    text, text_repairs = repair_text(_text(entry, index, raw, entry.response_column))
    rationale: str | None
    if config.teacher == GOLD_TEACHER:
        rationale, teacher_answer, flags, text = None, answer, gold.repairs if gold else [], answer or text
    else:
        rationale, teacher_answer, flags = read_response(text, answer, kind, choices)
        # The teacher was shown the truncated gold and repeated it.
        if gold and "cut_gold" in gold.repairs and answer != teacher_answer == tidy(gold.released):
            teacher_answer, flags = answer, [*flags, "cut_gold"]
        if entry.response_column == _SOLUTION:  # the gold was taken from this very text
            teacher_answer = answer
        if teacher_answer is not None and concludes_otherwise(rationale, teacher_answer, kind, choices):
            flags = [*flags, "denied"]
    doubtful = ["doubtful_gold"] if gold and answer is None else []
    return cot_row(
        config, question, choices, answer,
        rationale=rationale, teacher_answer=teacher_answer, teacher_text=without_thinking_tags(text),
        source=f"data/{entry.file_name}#{index}",
        flags=list(dict.fromkeys([*repairs, *text_repairs, *flags, *doubtful])),
    )  # fmt: skip


def _question(entry: Entry, index: int, row: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """Return (question, choices, repairs)."""
    question, choices, repairs = _parse(_text(entry, index, row, entry.question_column))
    if not question:
        raise CotDistillError(f"{entry.file_name}: row {index} has an empty question.")
    if BENCHMARKS[entry.config.benchmark].answer_kind == "choice" and len(choices) < 2:
        raise CotDistillError(f"{entry.file_name}: row {index} has no options in its question.")
    return question, choices, repairs


@lru_cache(100_000)  # every level has the same questions
def _parse(text: str) -> tuple[str, list[str], list[str]]:
    repaired, repairs = repair_text(text)
    return *parse_question(repaired), repairs


def _text(entry: Entry, index: int, row: dict[str, Any], column: str) -> str:
    text = row.get(column)
    if entry.config.teacher == GOLD_TEACHER and column == entry.response_column and type(text) in (int, float):
        text = str(text)
    if column not in row:
        problem = f"no column {column!r}: use {nearest(column, row)}"
    elif not isinstance(text, str):
        value = "null" if text is None else repr(text)
        problem = f"{value:.40} in column {column!r}: text is expected"
    elif not text.isascii() and SURROGATE.search(text):
        problem = f"a lone surrogate in column {column!r}: UTF-8 cannot encode it"
    elif len(text) > MAX_TEXT:
        problem = f"{len(text):,} characters in column {column!r}: at most {MAX_TEXT:,} are allowed"
    else:
        return text
    raise CotDistillError(f"{entry.file_name}: row {index} has {problem}.")
