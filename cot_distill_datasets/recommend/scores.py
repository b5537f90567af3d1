"""The scores of a text under a student before any training, and the controls that they are held against.

The direction of each is declared here, before anything is computed. Every score but GRACE is a ratio of sums over the
rows of a config: each row adds a numerator and a denominator, so that a bootstrap over questions is a matrix product.
The per-token arrays have shape (tokens,); surprisals are -log p in nats.

>>> rank_surprisal_ratio(np.array([0.5, 1.5]), np.array([1, 250]))
(50.5, 1.0)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..grading.conclusions import LETTERS, Kind
from ..grading.numbers import NUMBER, number_in, number_value
from ..release.config_files import mean_lengths
from ..schema import Row


RANK_LIMIT = 100
Terms = tuple[float, float]  # what a row adds to the numerator and to the denominator


@dataclass(frozen=True)
class Score:
    """A score or control. `definition` is a sentence with its source, for the reader of a table."""

    name: str
    lower_is_better: bool
    definition: str
    is_control: bool = False


SCORES = (
    Score(
        "rsr", True,
        "Rank-surprisal ratio (arXiv 2601.14249): the rows' mean ranks, clipped at 100, over their mean surprisals, "
        "both summed, of the tokens before the closing sentence.",
    ),
    Score(
        "surprisal", True,
        "Mean surprisal (-log p) of the tokens before the closing sentence, the baseline of arXiv 2601.14249; GRAPE "
        "(arXiv 2502.04194) prefers texts where it is low.",
    ),
    Score(
        "rd", True,
        "RD of MoRSD (arXiv 2509.23574): the perplexity of the answer after the CoT over that without it; the mean "
        "over rows is ours.",
    ),
    Score("rd_masked", True, "RD with every mention of the answer taken out of the CoT, which is ours."),
    Score(
        "grace", True,
        "GRACE (arXiv 2511.02833): Tr(K_train⁻¹ K_test) of projected gradients, mean over 10 splits of the questions; "
        "outside its validated regime, which has several answers to a question.",
    ),
    Score("words", False, "Control: mean words of the CoT.", is_control=True),
    Score("steps", False, "Control: mean reasoning steps of the CoT.", is_control=True),
    Score(
        "agreement", False,
        "Control: the teacher's agreement with the gold over all rows of the config that were read, those of the "
        "edition `paper`.",
        is_control=True,
    ),
)  # fmt: skip


def rank_surprisal_ratio(surprisals: np.ndarray, ranks: np.ndarray) -> Terms:
    """Return the mean rank, clipped at 100, and the mean surprisal of a row's tokens: RSR, lower is better.

    A rank is 1 + the number of tokens with a higher logit. The ratio of the sums over rows is the score, not the mean
    of the rows' ratios (arXiv 2601.14249, appendix A.8; `rsr_cal.py` @2675c01, `compute_sample_metrics`). The authors
    validated it on long CoT of mathematics and students from 3B parameters. A row without a token counts nothing.
    """
    if not len(ranks):
        return 0.0, 0.0
    return float(np.minimum(ranks, RANK_LIMIT).mean()), float(surprisals.mean())


def mean_surprisal(surprisals: np.ndarray) -> Terms:
    """Return the summed surprisal and the number of a row's tokens: mean surprisal, lower is better."""
    return float(surprisals.sum()), float(len(surprisals))


def rationale_distillation(with_rationale: np.ndarray, without: np.ndarray) -> Terms:
    """Return the ratio of the answer's perplexities with and without the rationale, and 1: RD, lower is better.

    Both are surprisals of the answer's tokens, after `{rationale}\\nThe answer is ` and after `The answer is `.
    Source: MoRSD (arXiv 2509.23574), which keeps the rationales with a low ratio; the mean over rows is ours.
    """
    return float(np.exp(with_rationale.mean() - without.mean())), 1.0


def lengths(row: Row) -> dict[str, Terms]:
    """Return the controls `words` and `steps` of a row, as the dataset card counts them: higher is better.

    Length predicted best in an independent check of such scores, on traces of agents (teacher-ranking-proxy @05b804c).
    """
    words, steps = mean_lengths([row])
    return {"words": (words, 1.0), "steps": (steps, 1.0)}


def without_answer(rationale: str, answer: str, choices: Sequence[str], kind: Kind) -> str:
    """Return a rationale without the mentions of the answer.

    A mention is a number of the same value, or the answer's own word, LaTeX, letter or option text. The letter A is
    none where it is an article ("A dog"). Words for a number ("three") and synonyms ("yes") stay.

    >>> without_answer("12 + 12 = 24. Not 124 or 2.4, but 24.0!", "24", [], "number")
    '12 + 12 = . Not 124 or 2.4, but !'
    >>> without_answer("A dog barks, so (A), barks.", "A", ["barks", "sings"], "choice")
    'A dog , so (), .'
    """
    index = LETTERS.find(answer) if kind == "choice" else len(choices)
    text = choices[index] if index < len(choices) else answer
    if (value := number_value(text)) is not None:

        def keep(number: re.Match[str]) -> str:
            own = number_in(rationale, number)
            return "" if own is not None and number_value(own) == value else number[0]

        masked = NUMBER.sub(keep, rationale)
    else:
        case = "" if kind == "math" else "(?i)"
        masked = re.sub(rf"{case}(?<!\w){re.escape(text)}(?!\w)", "", rationale)
    letter = r"A(?!\s+(?!is\b)[a-z])" if answer == "A" else answer
    return re.sub(rf"(?<!\w){letter}(?!\w)", "", masked) if kind == "choice" else masked
