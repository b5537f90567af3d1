"""The rows of an edition: selected when a release is built, and checked when it is audited."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..benchmarks import BENCHMARKS, EvalItem, benchmark_for_split, layout
from ..grading.answers import equivalent
from ..schema import Row, completion_text, normalize_text, question_id
from ..sources.responses import concludes_otherwise
from .editions import Edition


# Flags of rows that a student must not learn from.
EXCLUDED_FLAGS = ("denied", "doubtful_gold", "cut_text", "no_conclusion", "no_rationale")


class EvalQuestions(NamedTuple):
    """The questions of all test splits: ids, which decide what leaks, and stems, which are only flagged."""

    ids: frozenset[str]
    stems: frozenset[str]


def eval_questions(splits: dict[str, list[EvalItem]]) -> EvalQuestions:
    """Return the questions of `splits`."""
    items = [(benchmark_for_split(name), item) for name, split in splits.items() for item in split]
    return EvalQuestions(
        frozenset(question_id(benchmark, item.question, item.choices) for benchmark, item in items),
        frozenset(normalize_text(item.question) for _, item in items),
    )


def flag_test_questions(rows: list[Row], tests: EvalQuestions) -> list[Row]:
    """Return the rows, with a flag added to those whose question, or only its stem, is in a test split."""
    return [row | {"flags": row["flags"] + flags} if (flags := _test_flags(row, tests)) else row for row in rows]


def _test_flags(row: Row, tests: EvalQuestions) -> list[str]:
    if row["id"] in tests.ids:
        return ["in_test"]
    return ["stem_in_test"] if normalize_text(row["question"]) in tests.stems else []


def select(rows: list[Row], edition: Edition, shared: frozenset[str] | None = None) -> tuple[list[Row], Counter[str]]:
    """Return the rows of `edition` among flagged rows, and the number dropped by reason (`release.folder.DROPPED`).

    `shared` holds the question ids that an aligned config keeps.
    """
    kept, dropped = [], Counter[str]()
    for row in rows:
        reason = _reason_to_drop(row, edition)
        if reason:
            dropped[reason] += 1
        else:
            if edition.teachers_own_text and row["teacher_text"] is not None:
                row = row | {"completion": [{"role": "assistant", "content": row["teacher_text"]}]}
            kept.append(row)
    if shared is not None:
        first = {row["id"]: row for row in reversed(kept) if row["id"] in shared}  # a repeated question's first row
        dropped["unaligned"] = len(kept) - len(first)
        kept = [first[id_] for id_ in sorted(first)]
    return kept, +dropped  # without zeros


def _reason_to_drop(row: Row, edition: Edition) -> str | None:
    if edition.teachers_own_text and row["teacher_text"] == "":
        return "empty"
    if edition.keeps_test_questions:
        return None
    if "in_test" in row["flags"]:
        return "leaked"
    if row["is_correct"] is False:
        return "contradicting"
    return next((flag for flag in row["flags"] if flag in EXCLUDED_FLAGS), None)


def violations(config: str, rows: list[Row], edition: Edition | None, test_ids: set[str]) -> Iterator[str]:
    """Yield one sentence per promise that the rows of a config break, with the number of rows and the first of them.

    `edition` is None for a test split, which promises only its ids and prompts.
    """
    promises: dict[str, Callable[[Row], bool]] = {
        "do not have the id of their question": lambda row: (
            row["id"] != question_id(row["benchmark"], row["question"], row["choices"])
        ),
        "do not have the prompt of their benchmark's layout": lambda row: (
            row["prompt"] != [{"role": "user", "content": layout(row["question"], row["choices"])}]
        ),
    }
    if edition:
        promises |= {
            "have an `is_correct` that the grader does not confirm": lambda row: row["is_correct"] is not _grade(row),
            "have no completion": lambda row: not _completion(row),
        }
    if edition and not edition.keeps_test_questions:
        promises |= {
            "are in a test split": lambda row: row["id"] in test_ids,
            "contradict the gold": lambda row: row["is_correct"] is False,
            "have a rationale that concludes otherwise": _concludes_otherwise,
            "have a flag that this edition excludes": lambda row: not set(EXCLUDED_FLAGS).isdisjoint(row["flags"]),
        }
    if edition and not edition.teachers_own_text:
        promises["have a completion other than the rationale and the closing sentence"] = lambda row: (
            _completion(row) != completion_text(row["rationale"], row["answer"])
        )
    for sentence, is_broken in promises.items():
        broken = [row["source"] for row in rows if is_broken(row)]
        if broken:
            yield f"{config}: {len(broken)} rows {sentence} (the first is {broken[0]})."


def _grade(row: Row) -> bool | None:
    if row["teacher_answer"] is None or "no_gold" in row["flags"]:
        return None
    return equivalent(row["teacher_answer"], row["answer"], BENCHMARKS[row["benchmark"]].answer_kind)


def _concludes_otherwise(row: Row) -> bool:
    kind = BENCHMARKS[row["benchmark"]].answer_kind
    return bool(row["rationale"]) and concludes_otherwise(row["rationale"], row["answer"], kind, row["choices"])


def _completion(row: Row) -> str:
    return str(row["completion"][0]["content"]) if row["completion"] else ""
