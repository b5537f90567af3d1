"""A metric of `evaluate`: the grader of cot-distill, for full model outputs with chain of thought."""

from typing import get_args

import datasets
import evaluate

from cot_distill_datasets.errors import CotDistillError, nearest
from cot_distill_datasets.grading.answers import Kind, equivalent, extract, normalize


_DESCRIPTION = "Share of model outputs, with or without chain of thought, whose final answer equals the gold answer."

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list` of `str`): full model outputs.
    references (`list` of `str`): gold answers without any other text: `18`, `C`, `True`, LaTeX.
    kind (`str`, *optional*, defaults to `"number"`): kind of the answers: `number`, `choice`, `boolean` or `math`.
    strict (`bool`, *optional*, defaults to `True`): read the answer from a closing sentence ("The answer is 18") only.
        If `False`, the last answer of an output without a closing sentence counts.

Returns:
    `exact_match` (`float`): share of predictions whose answer equals the gold, 0 to 1.
    `no_answer` (`float`): share of predictions without an answer, 0 to 1. They count as wrong.

Raises:
    CotDistillError: the kind is unknown, a reference is not an answer of this kind, or the lists are empty.

Example:
    >>> metric = evaluate.load("eval_tasks/cot_answer_match")
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
            raise CotDistillError("`predictions` and `references` are empty: pass at least one of each.")
        for index, reference in enumerate(references):
            if normalize(reference, kind) is None:  # no prediction could match it, so it would only lower the score
                raise CotDistillError(
                    f"references[{index}] is not a {kind}: {reference[:60]!r}. Pass the gold answer without any other "
                    "text, or another `kind`."
                )
        answers = [extract(prediction, kind, strict=strict) or "" for prediction in predictions]
        matches = [equivalent(answer, reference, kind) for answer, reference in zip(answers, references)]
        return {"exact_match": sum(matches) / len(matches), "no_answer": answers.count("") / len(answers)}
