"""An `evaluate` metric over the package's one grader: whole outputs with CoT against gold answers."""

from typing import get_args

import datasets
import evaluate

from cot_distill_datasets.answers import Kind, equivalent, extract, normalise
from cot_distill_datasets.taxonomy import CotDistillError, nearest


_DESCRIPTION = "Share of whole model outputs, chain of thought included, whose concluding answer equals the gold."

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list` of `str`): whole model outputs.
    references (`list` of `str`): gold answers, bare: `18`, `C`, `True`, LaTeX.
    kind (`str`, *optional*, defaults to `"number"`): what an answer is: `number`, `choice`, `boolean` or `math`.
    strict (`bool`, *optional*, defaults to `True`): count an answer only in a closing sentence ("The answer is 18");
        otherwise an output without one gives its last answer.

Returns:
    `exact_match` (`float`): share of predictions that conclude with the gold, 0 to 1.
    `no_answer` (`float`): share of predictions that conclude with nothing, 0 to 1; each is wrong too.

Raises:
    CotDistillError: the kind is unknown, a reference is no answer of this kind, or there is nothing to grade.

Example:
    >>> metric = evaluate.load("metrics/cot_answer_match")
    >>> metric.compute(predictions=["5 + 7 = 12, and 12 * 2 = 24. The answer is $24."], references=["24"])
    {'exact_match': 1.0, 'no_answer': 0.0}
"""

_CITATION = """\
@inproceedings{chen2025unveiling,
  title = {Unveiling the Key Factors for Distilling Chain-of-Thought Reasoning},
  author = {Chen, Xinghao and others},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2025},
  pages = {15094--15119},
  year = {2025},
  url = {https://arxiv.org/abs/2502.18001}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class CotAnswerMatch(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": text, "references": text}),
            reference_urls=["https://arxiv.org/abs/2502.18001"],
        )

    def _compute(
        self, predictions: list[str], references: list[str], kind: Kind = "number", strict: bool = True
    ) -> dict[str, float]:
        if kind not in get_args(Kind):
            raise CotDistillError(f"Unknown kind {kind!r}: use {nearest(str(kind), get_args(Kind))}.")
        if not references:
            raise CotDistillError("There is nothing to grade: give at least one prediction and its reference.")
        for place, reference in enumerate(references):
            if normalise(reference, kind) is None:  # a gold that nothing can match would only lower the score
                raise CotDistillError(
                    f"references[{place}] is no answer of the kind `{kind}`: {reference[:60]!r}; "
                    "give the bare gold, or the `kind` it has."
                )
        answers = [extract(prediction, kind, strict=strict) or "" for prediction in predictions]
        matches = [equivalent(answer, reference, kind) for answer, reference in zip(answers, references)]
        return {"exact_match": sum(matches) / len(matches), "no_answer": answers.count("") / len(answers)}
