"""Question and options out of the layouts in which the paper's files and the test sets write them.

>>> parse_question("Q: The sun is Answer choices: A: hot, bright, B: cold")
('The sun is', ['hot, bright', 'cold'])
>>> parse_question("Which is odd? Answer Choices: (A) 1 (B) 2 (and 4)")
('Which is odd?', ['1', '2 (and 4)'])
"""

from __future__ import annotations

import re

from .answers import LETTERS


_MARKER = re.compile(r"(?<!\s)\s*Answer [Cc]hoices:\s*")

# How a layout writes the label of its first option, and those of the next ones. Options hold commas and parentheses,
# so that only the label that comes next in the alphabet ends an option.
_LAYOUTS = (
    ("({})", r"\s*\({}\)\s*"),  # AQuA: "(A) 1 (B) 2"
    ("{}:", r"(?:^|,\s*){}:\s*"),  # CSQA and OpenBookQA, training: "A: x, B: y"
    ("{}.", r"\s*^{}\.\s*"),  # CSQA, test: a line each
)


def parse_question(text: str) -> tuple[str, list[str]]:
    """Return the bare question and its options, in order; no options where the text names none."""
    stem, options = _split_at_last_marker(text.strip())
    stem = stem.removeprefix("Q:").strip()
    for first, label in _LAYOUTS:
        if options.startswith(first.format("A")):
            return stem, _split_options(options, label)
    return stem, []


def _split_at_last_marker(text: str) -> tuple[str, str]:
    markers = list(_MARKER.finditer(text))
    return (text[: markers[-1].start()], text[markers[-1].end() :]) if markers else (text, "")


def _split_options(text: str, label: str) -> list[str]:
    options, rest = [], text
    for letter in LETTERS:
        found = re.search(label.format(letter), rest, re.MULTILINE)
        if found is None:
            break
        options.append(rest[: found.start()])
        rest = rest[found.end() :]
    found_options = [option.strip() for option in [*options[1:], rest]]  # what stands before the A is nothing
    labelled = [f"{letter})" for letter in LETTERS]
    if all(option[:2].upper() == label for option, label in zip(found_options, labelled)):  # "(A) A) 14 (B) B) 15"
        return [option[2:].strip() for option in found_options]
    return found_options
