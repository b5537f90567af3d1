"""Overlap of questions: 13-grams shared with a test split, and near-duplicates.

>>> sorted(ngrams(words("How many pens, in all?", []), 4))
['how many pens in', 'many pens in all']
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from datasketch import MinHash, MinHashLSH

from ..messages import progress
from ..schema import Row, normalize_text


NGRAM = 13  # words: the length of the usual contamination checks (GPT-3, arXiv 2005.14165, appendix C)
SHINGLE = 3  # words
NEAR = 0.7  # near-duplicates have at least this Jaccard similarity of their shingles

_WORD = re.compile(r"\w+")
_EMPTY = MinHash(num_perm=128)


def words(question: str, choices: list[str]) -> list[str]:
    """Return the words of a question and its options, case-folded and without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", " ".join([question, *choices])).casefold())


def ngrams(text: list[str], n: int) -> set[str]:
    """Return the word n-grams of a text. A text with fewer than `n` words has none."""
    return {" ".join(text[start : start + n]) for start in range(len(text) - n + 1)}


class OtherTests:
    """The test questions of other benchmarks, with which the questions of an own benchmark are compared one by one."""

    def __init__(self, tests: Iterable[Row]) -> None:
        self._hashes: set[str] = set()
        self._ngrams: set[str] = set()
        self._shingles: dict[str, set[str]] = {}
        self._index = MinHashLSH(threshold=NEAR, num_perm=128)
        for row in tests:
            text = words(row["question"], row["choices"])
            self._hashes.add(_question_hash(row))
            self._ngrams |= ngrams(text, NGRAM)
            if row["id"] not in self._shingles:  # MATH-500 has questions of MATH
                self._shingles[row["id"]] = _shingles(text)
                self._index.insert(row["id"], _sketch(self._shingles[row["id"]]))

    def flags(self, row: Row) -> list[str]:
        """Return the flags of a row that is one of the questions, shares a 13-gram with one, or nearly equals one."""
        if _question_hash(row) in self._hashes:
            return ["in_test"]
        text = words(row["question"], row["choices"])
        shingles = _shingles(text)
        near = any(_is_near(shingles, self._shingles[id_]) for id_ in self._index.query(_sketch(shingles)))
        shares = not self._ngrams.isdisjoint(ngrams(text, NGRAM))
        return [*(["ngram_in_test"] if shares else []), *(["near_test"] if near else [])]


def _question_hash(row: Row) -> str:
    """Return the part of a question's id that does not depend on its benchmark."""
    return str(row["id"]).rpartition("-")[2]


def _shingles(text: list[str]) -> set[str]:
    return ngrams(text, SHINGLE) or {" ".join(text)}


def _sketch(shingles: set[str]) -> MinHash:
    sketch = _EMPTY.copy()  # shares the permutations, which take longer to draw than to apply
    sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
    return sketch


def _is_near(a: set[str], b: set[str]) -> bool:
    return len(a & b) / len(a | b) >= NEAR


def near_duplicates(questions: Mapping[str, list[str]]) -> dict[str, set[str]]:
    """Return the near-duplicates of each question, id → ids. Questions without any are omitted.

    MinHash (128 permutations, fixed seed) proposes the pairs. The exact Jaccard similarity decides.
    """
    shingles = {id_: _shingles(text) for id_, text in questions.items()}
    index, sketches = MinHashLSH(threshold=NEAR, num_perm=128), {}
    for id_, grams in shingles.items():
        sketches[id_] = _sketch(grams)
        index.insert(id_, sketches[id_])

    def is_near(a: str, b: str) -> bool:
        return a != b and _is_near(shingles[a], shingles[b])

    near = {id_: {other for other in index.query(sketch) if is_near(id_, other)} for id_, sketch in sketches.items()}
    return {id_: others for id_, others in near.items() if others}


@dataclass(frozen=True)
class Overlap:
    """The ids of questions that overlap with a test split, and of questions that resemble each other."""

    test_ids: set[str]  # test questions
    same_stem_ids: set[str]  # training questions that equal a test question except for the options
    shared_ngram_ids: set[str]  # training questions that share a 13-gram with a test question
    near: dict[str, set[str]]  # question → near-duplicates of the same benchmark, training or test

    def flagged(self) -> dict[str, list[str]]:
        """Return the training questions that overlap with a test split, by kind of overlap."""
        near = {id_ for id_, others in self.near.items() if id_ not in self.test_ids and others & self.test_ids}
        return {"stem": sorted(self.same_stem_ids), "ngram": sorted(self.shared_ngram_ids), "near": sorted(near)}


def find_overlap(tests: list[Row], rows: Iterable[Row]) -> Overlap:
    """Compare `rows`, the rows of all splits, with `tests`, the rows of the test splits."""
    test_ids, test_stems = {row["id"] for row in tests}, {normalize_text(row["question"]) for row in tests}
    test_ngrams = set[str]().union(*(ngrams(words(row["question"], row["choices"]), NGRAM) for row in tests))
    questions = {row["id"]: row for row in rows}
    texts = {id_: words(row["question"], row["choices"]) for id_, row in questions.items()}
    by_benchmark: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for id_, text in texts.items():
        by_benchmark[id_.partition("-")[0]][id_] = text
    near: dict[str, set[str]] = {}
    for benchmark_texts in progress(by_benchmark.values(), "Comparing the questions of benchmarks"):
        near |= near_duplicates(benchmark_texts)
    training = questions.keys() - test_ids
    same_stem = {id_ for id_ in training if normalize_text(questions[id_]["question"]) in test_stems}
    same_ngram = {id_ for id_ in training if not test_ngrams.isdisjoint(ngrams(texts[id_], NGRAM))}
    return Overlap(test_ids, same_stem, same_ngram, near)
