"""The pages as HTML. Text of data and models passes through `_text`, so that it is shown as text."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ..messages import count
from ..names import DEFAULT_FORMAT, TEACHERS, ConfigName
from ..release.config_files import mean_lengths
from ..release.folder import ConfigStats
from ..schema import FINDINGS
from ..sources.repairs import REPAIRS
from ..templates import printable
from .answers import Answer


_FLAGS = FINDINGS | REPAIRS
CSS = """
.page { overflow-wrap: anywhere; line-height: 1.5; color: var(--body-text-color) }
.page h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; font-weight: 600 }
.page pre { margin: 0; white-space: pre-wrap; font: inherit }
.page .dim, .page small, .page footer { color: color-mix(in srgb, var(--body-text-color) 65%, transparent) }
.page ol { padding-left: 1.5rem }
.page .gold { margin-top: .5rem }
.page .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: .75rem }
.page .card { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: .6rem .75rem;
  background: var(--block-background-fill) }
.page .card header { display: flex; flex-wrap: wrap; gap: .1rem .6rem; align-items: baseline; margin-bottom: .4rem }
.page .card footer { margin-top: .4rem; font-size: .8125rem }
.page .right { color: #15803d } .page .wrong { color: #b91c1c }
.dark .page .right { color: #4ade80 } .dark .page .wrong { color: #f87171 }
.page .scroll { overflow: auto; max-height: 44rem }
.page table { border-collapse: collapse; width: 100%; font-size: .875rem }
.page th, .page td { padding: .3rem .6rem; border-bottom: 1px solid var(--border-color-primary); text-align: right;
  white-space: nowrap }
.page th { position: sticky; top: 0; z-index: 1; background: var(--body-background-fill) }
.page .bars th:nth-child(3) { width: 40%; text-align: left } .page .bars th:first-child { width: 9rem }
.page th:first-child, .page td:first-child { text-align: left; padding-left: 0 }
.page td.question { min-width: 11rem; white-space: normal }
.page .track { position: relative; min-width: 9rem; height: .75rem; background: var(--background-fill-secondary) }
.page .track i { position: absolute; top: 0; bottom: 0; background: #93c5fd }
.page .track i.thin { top: .28rem; bottom: .28rem } .page .track i.mark { width: 3px; background: #1d4ed8 }
.questions .wrap { flex-direction: column; flex-wrap: nowrap; max-height: 32rem; overflow-y: auto; gap: .25rem }
.questions .wrap label { align-items: flex-start; width: 100% } .questions .wrap label span { white-space: normal }
@media (max-width: 40rem) { .questions .wrap { max-height: 14rem } }
"""


def _text(value: object) -> str:
    """Return a text as HTML that shows it: markup is escaped, and control characters are written out."""
    return html.escape(printable(str(value)))


def _page(*parts: str) -> str:
    return f'<div class="page">{"".join(parts)}</div>'


def note(message: object) -> str:
    """Return a page that only says something."""
    return _page(f'<p class="dim">{_text(message)}</p>')


def question_page(rows: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> str:
    """Return the page of a question: the question, its CoT by teacher, format and level, and its answers.

    `rows` are the question's rows in all configs, or its one row in a test split.
    """
    first = rows[0]
    options = "".join(f"<li>{_text(choice)}</li>" for choice in first["choices"])
    head = f"<pre>{_text(first['question'])}</pre>" + (f'<ol type="A">{options}</ol>' if options else "")
    of_gold = _flags({flag: None for row in rows if row["rationale"] is None for flag in row["flags"]})
    facts = f"<b>{_text(first['answer'])}</b> <small>{_text(first['id'])} {of_gold}</small>"
    teachers: dict[str, list[str]] = {}
    for row in sorted((row for row in rows if row["rationale"] is not None), key=_order):
        teachers.setdefault(row["teacher"], []).append(_cot_card(row))
    sections = [_cards(TEACHERS.get(teacher, teacher), cards) for teacher, cards in teachers.items()]
    if not teachers and not answers:
        sections = [note("There is no CoT of this question, and no answer of the students passed as --students.")]
    if answers:
        right = sum(answer.correct for answer in answers)
        sections.append(_cards(f"Students: {right} of {len(answers)} right", map(_answer_card, answers)))
    return _page(head, f'<p class="gold">Gold: {facts}</p>', *sections)


def _teacher_rank(teacher: str) -> tuple[int, str]:
    names = list(TEACHERS)
    return (names.index(teacher) if teacher in names else -1, teacher)  # a new teacher comes first


def _order(row: Mapping[str, Any]) -> tuple[tuple[int, str], bool, str, int]:
    return (_teacher_rank(row["teacher"]), row["format"] != DEFAULT_FORMAT, row["format"], row["granularity"])


def _cards(title: str, cards: Iterable[str]) -> str:
    return f'<section><h3>{_text(title)}</h3><div class="cards">{"".join(cards)}</div></section>'


def _card(title: str, facts: Iterable[str], verdict: str, body: str, foot: str = "") -> str:
    facts = "".join(f"<small>{fact}</small>" for fact in facts)
    footer = f"<footer>{foot}</footer>" if foot else ""
    head = f"<header><b>{_text(title)}</b>{facts}{verdict}</header>"
    return f'<article class="card">{head}<pre>{_text(body)}</pre>{footer}</article>'


def _verdict(correct: bool | None, answer: str) -> str:
    if correct is None:
        return f"<span>{_text(answer)}</span>"
    mark, kind = ("✓", "right") if correct else ("✗", "wrong")
    return f'<span class="{kind}">{_text(answer)} {mark}</span>'


def _cot_card(row: Mapping[str, Any]) -> str:
    words, steps = mean_lengths([dict(row)])
    config = ConfigName(row["teacher"], row["granularity"], row["format"], row["benchmark"])
    conclusion = row["teacher_answer"]
    verdict = _verdict(row["is_correct"], "no conclusion" if conclusion is None else conclusion)
    facts = [count(round(words), "word"), count(round(steps), "step")]
    return _card(_level(config), facts, verdict, row["rationale"], _flags(row["flags"]))


def _flags(flags: Iterable[str]) -> str:
    return " · ".join(f'<span title="{_text(_FLAGS.get(flag, ""))}">{_text(flag)}</span>' for flag in flags)


def _answer_card(answer: Answer) -> str:
    facts = [_text(answer.task)] + ([f"{answer.tokens} tokens"] if answer.tokens else [])
    verdict = _verdict(answer.correct, "right" if answer.correct else "wrong")
    return _card(answer.student, facts, verdict, answer.text, _text(" · ".join(answer.notes)))


def levels_page(configs: Sequence[ConfigStats], quantiles: Mapping[str, Sequence[float]]) -> str:
    """Return the page of the lengths of each teacher's CoT. `quantiles` are the configs' `rows.word_quantiles`."""
    end = max((words[-1] for words in quantiles.values()), default=0) or 1
    teachers: dict[str, list[str]] = {}
    for stats in sorted(configs, key=lambda stats: (stats.config.format != DEFAULT_FORMAT, stats.config)):
        if words := quantiles.get(stats.name):
            agreement = "–" if stats.agreement is None else f"{stats.agreement:.1%}"
            cells = [f"{words[2]:.0f}", _box(words, end), f"{stats.mean_steps:g}", f"{stats.rows:,}", agreement]
            name = _level(stats.config)
            teachers.setdefault(stats.config.teacher, []).append(_row(name, cells))
    head = _row("", ["median", f"words, 0 to {end:.0f}", "mean steps", "rows", "agreement"], cell="th")
    explanation = note(
        "Words per CoT: the line is 10% to 90% of the questions, the box 25% to 75%, the mark at the median. "
        "Agreement: how often the teacher's conclusion is the gold, before rows are dropped."
    )
    sections = [
        f"<h3>{_text(TEACHERS.get(teacher, teacher))}</h3>{_table(head, lines)}"
        for teacher, lines in sorted(teachers.items(), key=lambda item: _teacher_rank(item[0]))
    ]
    return _page(explanation, *sections) if sections else note("No config of this benchmark has CoT.")


def _level(config: ConfigName) -> str:
    level = f"l{config.granularity}" if config.granularity else "CoT"
    return level if config.format == DEFAULT_FORMAT else f"{level} {config.format}"


def _box(words: Sequence[float], end: float) -> str:
    low, first, middle, third, high = (100 * count / end for count in words)
    ranges = "".join(
        f'<i{kind} style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
        for kind, left, right in ((' class="thin"', low, high), ("", first, third))
    )
    return f'<div class="track">{ranges}<i class="mark" style="left:calc({middle:.1f}% - 1px)"></i></div>'


def _row(name: str, cells: Iterable[str], cell: str = "td", kind: str = "") -> str:
    first = f"<{cell}{kind}>{_text(name)}</{cell}>"
    return f"<tr>{first}{''.join(f'<{cell}>{value}</{cell}>' for value in cells)}</tr>"


def _table(head: str, lines: Iterable[str], kind: str = "bars") -> str:
    return f'<div class="scroll" tabindex="0"><table class="{kind}">{head}{"".join(lines)}</table></div>'


def arms_table(outcomes: pa.Table) -> str:
    """Return the accuracy of each arm of one place of a study, all seeds together, as HTML."""
    arms = outcomes.group_by("arm").aggregate(
        [("correct", "mean"), ("key", "count_distinct"), ("id", "count_distinct"), ("output_tokens", "mean")]
    )
    lines = []
    for arm in arms.sort_by("arm").to_pylist():
        share = arm["correct_mean"]
        bar = f'<div class="track"><i style="left:0;width:{share:.1%}"></i></div>'
        counts = [f"{arm['key_count_distinct']}", f"{arm['id_count_distinct']:,}", f"{arm['output_tokens_mean']:.1f}"]
        lines.append(_row(arm["arm"], [f"{share:.1%}", bar, *counts]))
    head = _row("config", ["accuracy", "0 to 100%", "students", "questions", "output tokens"], cell="th")
    return _page(_table(head, lines))


def questions_table(counts: Mapping[str, Mapping[str, tuple[int, int]]], texts: Mapping[str, str]) -> str:
    """Return how many students of each arm answered each question right. `counts` is id → arm → (right, of)."""
    arms = sorted({arm for of_question in counts.values() for arm in of_question})
    lines = [
        _row(texts.get(id_, id_), (_count(*of_question.get(arm, (0, 0))) for arm in arms), kind=' class="question"')
        for id_, of_question in counts.items()
    ]
    return _page(_table(_row("question", map(_text, arms), cell="th"), lines, kind="counts"))


def _count(right: int, of: int) -> str:
    if not of:
        return "–"
    kind = "right" if right == of else "wrong" if not right else "dim"
    return f'<span class="{kind}">{right}/{of}</span>'
