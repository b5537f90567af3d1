"""Whether the levels of a teacher differ in length, question by question: a level is a label, not a length.

>>> coarse, fine = ConfigName.parse("oracle-l1-arith"), ConfigName.parse("oracle-l3-arith")
>>> separation({coarse: {"a": 3, "b": 4}, fine: {"a": 6, "b": 4}})
{('oracle-l1-arith', 'oracle-l3-arith'): (0.5, 1.5)}
"""

import statistics
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from ..names import ConfigName


SEPARATED_SHARE = 0.75  # of the questions of two adjacent levels must have the longer text at the finer level


def separation(words: Mapping[ConfigName, Mapping[str, int]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return, for adjacent levels of one teacher, format and benchmark, by how much the finer one is longer.

    It is the share of their common questions whose finer text is longer, and the median ratio of words. `words` are
    those of a rationale, by config and question id. Levels without a common question are left out.
    """
    names = [name for name in words if name.granularity]
    names.sort(key=lambda name: (name.teacher, name.format, name.benchmark, name.granularity))
    pairs = {}
    for coarse, fine in pairwise(names):
        if replace(fine, granularity=coarse.granularity) == coarse:
            both = [(words[coarse][id_], count) for id_, count in words[fine].items() if id_ in words[coarse]]
            if both:
                longer = statistics.fmean(b > a for a, b in both)
                pairs[str(coarse), str(fine)] = (longer, statistics.median(b / max(a, 1) for a, b in both))
    return pairs


def separation_lines(pairs: Mapping[tuple[str, str], tuple[float, float]]) -> list[str]:
    """Return what a person is told about each pair of adjacent levels."""
    return [
        f"{fine} is longer than {coarse} in {share:.0%} of the questions, {ratio:.1f} times"
        + ("" if share >= SEPARATED_SHARE else ": not separated")
        for (coarse, fine), (share, ratio) in pairs.items()
    ]
