"""Parse the question and its options from the layouts of the paper's files and the test sets.

>>> parse_question("Q: The sun is Answer choices: A: hot, bright, B: cold")
('The sun is', ['hot, bright', 'cold'])
>>> parse_question("Which is odd? Answer Choices: (A) 1 (B) 2 (and 4)")
('Which is odd?', ['1', '2 (and 4)'])
"""

import re

from ..grading.conclusions import LETTERS


_MARKER = re.compile(r"(?<!\s)\s*Answer [Cc]hoices:\s*")

# The label of the first option in each layout, and a pattern of all labels. Options contain commas and parentheses,
# so only the label with the next letter ends an option.
_LAYOUTS = (
    ("({})", r"\s*\({}\)\s*"),  # AQuA: "(A) 1 (B) 2"
    ("{}:", r"(?:^|,\s*){}:\s*"),  # CSQA and OpenBookQA, training: "A: x, B: y"
    ("{}.", r"\s*^{}\.\s*"),  # CSQA, test: one per line
)


def parse_question(text: str) -> tuple[str, list[str]]:
    """Return the bare question and its options in order (empty for an open question)."""
    text = text.strip()
    stem, options = text, ""
    for marker in _MARKER.finditer(text):  # the last one precedes the options
        stem, options = text[: marker.start()], text[marker.end() :]
    stem = stem.removeprefix("Q:").strip()
    for first, label in _LAYOUTS:
        if options.startswith(first.format("A")):
            return stem, _split_options(options, label)
    return stem, []


def _split_options(text: str, label: str) -> list[str]:
    options, rest = [], text
    for letter in LETTERS:
        match = re.search(label.format(letter), rest, re.MULTILINE)
        if match is None:
            break
        options.append(rest[: match.start()])
        rest = rest[match.end() :]
    return strip_labels([option.strip() for option in [*options[1:], rest]])  # the first is the empty text before A


def strip_labels(options: list[str]) -> list[str]:
    """Return options without their own labels, if each has the right one."""
    if all(option[:2].upper() == f"{letter})" for option, letter in zip(options, LETTERS)):  # "(A) A) 14 (B) B) 15"
        return [option[2:].strip() for option in options]
    return options
