"""What the providers of the teachers ask of those who use what the teachers wrote.

Pointers, not legal advice: the terms change, and those of the day on which a text was made count.
"""

from __future__ import annotations


# Teacher → (which terms, what they say of models trained on its text).
TEACHER_TERMS = {
    "gpt4o": (
        "OpenAI Terms of Use (openai.com/policies)",
        "output may not be used to develop models that compete with OpenAI",
    ),
    "gemini": (
        "Gemini API Additional Terms of Service (ai.google.dev/gemini-api/terms)",
        "the service may not be used to develop models that compete with it",
    ),
    "llama70b": (
        "Meta Llama 3 Community License (llama.com/llama3/license)",
        "output may not be used to improve another large language model than Llama 3 and its derivatives; what is "
        "built on it says so, and a model's name begins with `Llama 3`",
    ),
    "human": ("the licence of the benchmark or annotation it comes from", "see the benchmark"),
    "oracle": ("Apache-2.0", "none: a program of this package wrote it"),
    "answer": ("the licence of the benchmark", "no teacher wrote anything"),
}
