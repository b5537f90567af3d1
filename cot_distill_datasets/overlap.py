"""How questions resemble each other: shared 13-grams with a test split, and near-duplicates.

>>> sorted(ngrams(words("How many pens, in all?", []), 4))
['how many pens in', 'many pens in all']
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from datasketch import MinHash, MinHashLSH

from .progress import track
from .schema import Row, stem


NGRAM = 13  # words: the length of the usual contamination checks (GPT-3, arXiv 2005.14165, appendix C)
SHINGLE = 3  # words
NEAR = 0.7  # Jaccard similarity of the shingles from which two questions are near-duplicates

_WORD = re.compile(r"\w+")


def words(question: str, choices: list[str]) -> list[str]:
    """Return the words of a question and its options: what is left when the prompt's scaffolding is taken off."""
    return _WORD.findall(unicodedata.normalize("NFKC", " ".join([question, *choices])).casefold())


def ngrams(text: list[str], n: int) -> set[str]:
    """Return the word n-grams of a text; of a shorter text there are none."""
    return {" ".join(text[start : start + n]) for start in range(len(text) - n + 1)}


def near_duplicates(questions: Mapping[str, list[str]]) -> dict[str, set[str]]:
    """Return, for each id whose words resemble another's, the ids it resembles.

    MinHash proposes the pairs (128 permutations of a fixed seed), the exact similarity decides.
    """
    shingles = {id_: ngrams(text, SHINGLE) or {" ".join(text)} for id_, text in questions.items()}
    index, sketches = MinHashLSH(threshold=NEAR, num_perm=128), {}
    for id_, found in shingles.items():
        sketches[id_] = MinHash(num_perm=128)
        sketches[id_].update_batch([shingle.encode() for shingle in sorted(found)])
        index.insert(id_, sketches[id_])
    near = {
        id_: {
            other for other in index.query(sketch) if other != id_ and _jaccard(shingles[id_], shingles[other]) >= NEAR
        }
        for id_, sketch in sketches.items()
    }
    return {id_: others for id_, others in near.items() if others}


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


@dataclass(frozen=True)
class Overlap:
    """Which questions touch a test split, and which resemble each other, by id."""

    test_ids: set[str]
    stems: set[str]
    ngrams: set[str]
    near: dict[str, set[str]]

    def flagged(self) -> dict[str, list[str]]:
        """Return the training questions that touch a test split, by how."""
        near = {id_ for id_, others in self.near.items() if id_ not in self.test_ids and others & self.test_ids}
        return {"stem": sorted(self.stems), "ngram": sorted(self.ngrams), "near": sorted(near)}


def find_overlap(tests: list[Row], rows: Iterable[Row]) -> Overlap:
    """Compare `rows`, those of all splits, with `tests`, those of the test splits."""
    test_ids, test_stems = {row["id"] for row in tests}, {stem(row["question"]) for row in tests}
    test_ngrams = set[str]().union(*(ngrams(words(row["question"], row["choices"]), NGRAM) for row in tests))
    questions = {row["id"]: row for row in rows}
    texts = {id_: words(row["question"], row["choices"]) for id_, row in questions.items()}
    by_benchmark: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for id_, text in texts.items():
        by_benchmark[id_.partition("-")[0]][id_] = text
    near: dict[str, set[str]] = {}
    for found in track(by_benchmark.values(), description="Near-duplicates"):
        near |= near_duplicates(found)
    return Overlap(
        test_ids,
        {id_ for id_, row in questions.items() if id_ not in test_ids and stem(row["question"]) in test_stems},
        {
            id_
            for id_, text in texts.items()
            if id_ not in test_ids and not test_ngrams.isdisjoint(ngrams(text, NGRAM))
        },
        near,
    )
