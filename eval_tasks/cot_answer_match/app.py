"""The page of the Space.

It does not use `evaluate.utils.launch_gradio_widget`, which needs gradio 3: that does not work with `datasets` 5.
"""

from pathlib import Path
from typing import get_args

import evaluate
import gradio as gr
from huggingface_hub import SpaceCard

from cot_distill_datasets.grading.answers import Kind


FOLDER = Path(__file__).parent
metric = evaluate.load(str(FOLDER / "cot_answer_match.py"))


def grade(prediction: str, reference: str, kind: Kind, strict: bool) -> dict[str, float]:
    """Return the scores of one output."""
    return metric.compute(predictions=[prediction], references=[reference], kind=kind, strict=strict)


page = gr.Interface(
    grade,
    inputs=[
        gr.Textbox("5 + 7 = 12, and 12 * 2 = 24. The answer is $24.", lines=5, label="prediction"),
        gr.Textbox("24", label="reference"),
        gr.Radio(list(get_args(Kind)), value="number", label="kind"),
        gr.Checkbox(True, label="strict"),
    ],
    outputs=gr.JSON(label="scores"),
    title="CoT Answer Match",
    article=SpaceCard.load(FOLDER / "README.md").text,
    flagging_mode="never",
)
page.launch(show_error=True)
