"""The rows of an edition: selected when a release is built, and checked when it is audited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..benchmarks import EvalItem, benchmark_for_split, layout
from ..grading.answers import equivalent
from ..grading.conclusions import Kind
from ..schema import Row, completion_text, normalize_text, question_id
from ..sources.responses import concludes_otherwise
from .editions import Edition


if TYPE_CHECKING:
    from .overlap import OtherTests


# Flags of rows that a student must not learn from.
EXCLUDED_FLAGS = (
    "denied", "doubtful_gold", "cut_text", "no_conclusion", "no_rationale", "ngram_in_test", "near_test",
)  # fmt: skip


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


def flag_test_questions(rows: Iterable[Row], tests: EvalQuestions, others: OtherTests | None = None) -> Iterator[Row]:
    """Yield the rows, with a flag added to those whose question, or only its stem, is in a test split.

    `others` holds the test questions of other benchmarks, with which the rows of an own benchmark are compared.
    """
    for row in rows:
        flags = list(dict.fromkeys([*_test_flags(row, tests), *(others.flags(row) if others else [])]))
        yield row | {"flags": row["flags"] + flags} if flags else row


def _test_flags(row: Row, tests: EvalQuestions) -> list[str]:
    if row["id"] in tests.ids:
        return ["in_test"]
    return ["stem_in_test"] if normalize_text(row["question"]) in tests.stems else []


def select(
    rows: Iterable[Row], edition: Edition, shared: frozenset[str] | None = None
) -> tuple[Iterator[Row], Counter[str]]:
    """Return the rows of `edition` among flagged rows, and the number dropped by reason (`release.folder.DROPPED`).

    The numbers are complete at the end of the rows. `shared` holds the question ids that an aligned config keeps.
    """
    dropped = Counter[str]()
    kept = _keep(rows, edition, dropped)
    return (kept if shared is None else _align(kept, shared, dropped)), dropped


def _keep(rows: Iterable[Row], edition: Edition, dropped: Counter[str]) -> Iterator[Row]:
    for row in rows:
        if reason := _reason_to_drop(row, edition):
            dropped[reason] += 1
        elif edition.teachers_own_text and row["teacher_text"] is not None:
            yield row | {"completion": [{"role": "assistant", "content": row["teacher_text"]}]}
        else:
            yield row


def _align(rows: Iterable[Row], shared: frozenset[str], dropped: Counter[str]) -> Iterator[Row]:
    """Yield the first row of each question of `shared`, in the order of the ids; all are in memory."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["id"] not in shared or first.setdefault(row["id"], row) is not row:
            dropped["unaligned"] += 1
    yield from (first[id_] for id_ in sorted(first))


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


def violations(
    config: str,
    rows: list[Row],
    edition: Edition | None,
    test_ids: set[str],
    *,
    kind: Kind | None = None,
    others: OtherTests | None = None,
) -> Iterator[str]:
    """Yield one sentence per promise that the rows of a config break, with the number of rows and the first of them.

    `edition` and the answer `kind` are None for a test split, which promises only its ids and prompts. `others` holds
    the test questions of other benchmarks if that of the config is an own one.
    """
    promises: dict[str, Callable[[Row], bool]] = {
        "do not have the id of their question": lambda row: (
            row["id"] != question_id(row["benchmark"], row["question"], row["choices"])
        ),
        "do not have the prompt of their benchmark's layout": lambda row: (
            row["prompt"] != [{"role": "user", "content": layout(row["question"], row["choices"])}]
        ),
    }
    if edition and kind:
        promises |= {
            "have an `is_correct` that the grader does not confirm": lambda row: (
                row["is_correct"] is not _grade(row, kind)
            ),
            "have no completion": lambda row: not _completion(row),
        }
    if edition and kind and not edition.keeps_test_questions:
        promises |= {
            "are in a test split": lambda row: row["id"] in test_ids,
            "overlap with a test question of another benchmark": lambda row: bool(others and others.flags(row)),
            "contradict the gold": lambda row: row["is_correct"] is False,
            "have a rationale that concludes otherwise": lambda row: _concludes_otherwise(row, kind),
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


def _grade(row: Row, kind: Kind) -> bool | None:
    if row["teacher_answer"] is None or "no_gold" in row["flags"]:
        return None
    return equivalent(row["teacher_answer"], row["answer"], kind)


def _concludes_otherwise(row: Row, kind: Kind) -> bool:
    return bool(row["rationale"]) and concludes_otherwise(row["rationale"], row["answer"], kind, row["choices"])


def _completion(row: Row) -> str:
    return str(row["completion"][0]["content"]) if row["completion"] else ""
