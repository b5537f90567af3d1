"""The user's own rows as a source: CoT that they have, of a known benchmark or of a question set of their own.

own = OwnRows.plan(["solutions.jsonl"], ["qwen3"], ["l3"], benchmark="shop", answer_kind="number", test_rows=100)
own.sources    {ConfigName("qwen3", 3, "cot", "shop"): "solutions.jsonl"}

A source is read one row at a time, and again for each config that is made of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..benchmarks import BENCHMARKS, RESERVED, EvalItem
from ..errors import CotDistillError, nearest
from ..grading.conclusions import Kind
from ..names import DEFAULT_FORMAT, ConfigName, parse_granularity
from ..schema import ConfigRows, Gold, Golds, Row, Source, cot_row, question_id
from .layouts import Layout, RejectedError, read_example, recognize
from .questions import parse_question
from .repairs import repair_gold, repair_text
from .responses import concludes_otherwise, read_response, without_thinking_tags
from .row_files import published_name, stream_rows
from .test_splits import no_test_split
from .upstream import GOLD_TEACHER


UNKNOWN_LICENSE = "unknown"
_PEEK = 100  # rows whose columns decide the layout
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class OwnRows:
    """What the user says of their rows.

    `sources` has the file or Hub dataset of each config, all of one benchmark; `answer_kind` is that of an own
    benchmark, None if this package knows it. `mapping` names columns by part (`names.ROW_PARTS`), `license` is the
    Hub's identifier, and `test_rows` the size of an own benchmark's test split.
    """

    sources: Mapping[ConfigName, str]
    answer_kind: Kind | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    license: str = UNKNOWN_LICENSE
    test_rows: int = 0

    @classmethod
    def plan(
        cls,
        sources: Sequence[str],
        teachers: Sequence[str],
        granularities: Sequence[str] = (),
        formats: Sequence[str] = (DEFAULT_FORMAT,),
        *,
        benchmark: str | None = None,
        **values: Any,
    ) -> OwnRows:
        """Return the plan of a command: a teacher, granularity and format for each source, or one for all.

        The default benchmark is called like the first source: `my_data` for `My-Data.jsonl`, or for `USER/My-Data` on
        the Hub. Raises CotDistillError if a name cannot be used, or two sources have the same config.
        """
        levels = [parse_granularity(word) for word in granularities] or [0]
        place = Path(sources[0])
        stem = place.stem if place.exists() or place.suffix else place.parts[:2][-1]
        name = benchmark or re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
        _check_benchmark(name, values)
        parts = {"--teacher": teachers, "--granularity": levels, "--format": formats}
        for option, given in parts.items():
            if len(given) not in (1, len(sources)):
                raise CotDistillError(f"`{option}` has {len(given)} values for {len(sources)} sources: pass 1 or all.")
        rows = [list(given) * (len(sources) if len(given) == 1 else 1) for given in parts.values()]
        configs = [ConfigName(teacher, level, format_, name) for teacher, level, format_ in zip(*rows)]
        if repeated := [config for config, count in Counter(configs).items() if count > 1]:
            raise CotDistillError(f"Several sources are `{repeated[0]}`: give each a --granularity or --teacher.")
        return cls(sources=dict(zip(configs, sources)), **values)

    @property
    def benchmark(self) -> str:
        """The benchmark of all configs."""
        return next(iter(self.sources)).benchmark

    @property
    def kind(self) -> Kind:
        """The answer kind of the benchmark."""
        return self.answer_kind or BENCHMARKS[self.benchmark].answer_kind


def _check_benchmark(name: str, values: Mapping[str, Any]) -> None:
    if name in RESERVED or name.endswith("_paper"):
        raise CotDistillError(f"The name {name!r} belongs to a task: pass another --benchmark.")
    if name not in BENCHMARKS and not values.get("answer_kind"):
        raise CotDistillError(
            f"Unknown benchmark {name!r}: use {nearest(name, BENCHMARKS, limit=8)}, or pass `--answer-kind` for a "
            "question set of your own."
        )
    if name in BENCHMARKS and (values.get("answer_kind") or values.get("test_rows")):
        raise CotDistillError(
            f"{name!r} is a known benchmark: omit `--answer-kind` and `--test-rows`, or pass another --benchmark."
        )


class _Item(NamedTuple):
    """A usable row, repaired. `place` is the value of the column `source`."""

    place: str
    id: str
    question: str
    choices: list[str]
    repairs: list[str]  # of the question
    text: str
    text_repairs: list[str]
    gold: Gold | None


def source(own: OwnRows, benchmarks: Collection[str]) -> Source:
    """Return a reader for each config of the user's rows.

    An own benchmark also gets the config of its answers, and a test split with `test_rows`. A known one that is not in
    `benchmarks` is skipped: without a test split, leaks cannot be detected. Raises CotDistillError if a file cannot be
    read, its layout is not known, or there are fewer than `test_rows` questions with a gold.
    """
    layouts = {config: _layout(config, place, own.mapping) for config, place in own.sources.items()}
    homes = {config: published_name(place) for config, place in own.sources.items()}
    result = Source(origins={str(config): {"home": home, "license": own.license} for config, home in homes.items()})
    if own.answer_kind is None and own.benchmark not in benchmarks:
        return Source(skipped={str(config): no_test_split(own.benchmark) for config in own.sources})
    for config in own.sources:
        result.readers[config] = partial(_read, config, own, layouts[config], result.skipped)
    if own.answer_kind:
        home = ", ".join(dict.fromkeys(homes.values()))
        facts = {"answer_kind": own.answer_kind, "license": own.license, "home": home}
        result.own_benchmarks[own.benchmark] = facts
        answers = ConfigName(GOLD_TEACHER, 0, DEFAULT_FORMAT, own.benchmark)
        if answers not in own.sources and any(layout.answer for layout in layouts.values()):
            result.readers[answers] = partial(_read_answers, answers, own, layouts)
            result.origins[str(answers)] = {"home": home, "license": own.license}
        if own.test_rows:
            result.splits[own.benchmark] = _hold_out(own, layouts)
    return result


def _layout(config: ConfigName, place: str, mapping: Mapping[str, str]) -> Layout:
    rows = [row for row in islice(stream_rows(place), _PEEK) if isinstance(row, dict)]
    try:
        layout = recognize(list(dict.fromkeys(column for row in rows for column in row)), mapping)
        if not (layout.response or layout.turns or config.teacher == GOLD_TEACHER):
            raise CotDistillError("`--map` names no column of the response: add `response=COLUMN`.")
    except CotDistillError as error:
        raise CotDistillError(f"{place}: {error}") from error
    return layout


def _items(place: str, own: OwnRows, layout: Layout, read: ConfigRows, first: dict[str, str]) -> Iterator[_Item]:
    """Yield the usable rows of a source; count the others in `read`, and note the first one of each reason."""
    name = published_name(place)
    for index, row in enumerate(stream_rows(place)):
        read.rows_in += 1
        try:
            yield _parse(row, f"{name}#{index}", own, layout)
        except RejectedError as error:
            read.dropped[error.reason] = read.dropped.get(error.reason, 0) + 1
            first.setdefault(error.reason, f"{name}: row {index} {error}.")


def _parse(row: Any, place: str, own: OwnRows, layout: Layout) -> _Item:
    example = read_example(layout, row, own.kind)
    question, repairs = repair_text(example.question)
    question, options = parse_question(question)
    choices = example.choices or (options if own.kind == "choice" else [])
    text, text_repairs = repair_text(example.response or "")
    if control := _CONTROL.search("".join([question, *choices, text])):
        raise RejectedError("unreadable", f"has the control character {control[0]!r}")
    if own.kind == "choice" and len(choices) < 2:
        raise RejectedError("unreadable", "has no options")
    gold = None
    if example.answer is not None:
        answer, gold_repairs = repair_gold(example.answer, own.kind)
        gold = Gold(answer, example.answer, gold_repairs)
    id_ = question_id(own.benchmark, question, choices)
    return _Item(place, id_, question, choices, repairs, text, text_repairs, gold)


def _read(config: ConfigName, own: OwnRows, layout: Layout, skipped: dict[str, str], golds: Golds) -> ConfigRows:
    rows = ConfigRows((), 0, {})
    rows.rows = _config_rows(config, own, layout, rows, skipped, golds)
    return rows


def _config_rows(
    config: ConfigName, own: OwnRows, layout: Layout, read: ConfigRows, skipped: dict[str, str], golds: Golds
) -> Iterator[Row]:
    first: dict[str, str] = {}
    for item in _items(own.sources[config], own, layout, read, first):
        is_empty = not item.text and config.teacher != GOLD_TEACHER
        row = None if is_empty else _row(config, own.kind, item, golds.get(item.id) or item.gold)
        if row is not None:
            yield row
        else:
            reason = "empty" if is_empty else "no_answer"
            read.dropped[reason] = read.dropped.get(reason, 0) + 1
    skipped |= {f"{config} ({reason}: {read.dropped[reason]})": problem for reason, problem in first.items()}


def _row(config: ConfigName, kind: Kind, item: _Item, gold: Gold | None) -> Row | None:
    """Return the row of a config, or None if it has neither a gold nor a conclusion."""
    answer, flags, rationale = gold.answer if gold else None, item.repairs, None
    teacher_answer, text = answer, answer or ""
    if config.teacher != GOLD_TEACHER:
        rationale, teacher_answer, found = read_response(item.text, answer, kind, item.choices)
        flags, text = [*flags, *item.text_repairs, *found], without_thinking_tags(item.text)
        if teacher_answer is not None and concludes_otherwise(rationale, teacher_answer, kind, item.choices):
            flags.append("denied")
    if gold:
        flags = [*flags, *(gold.repairs if config.teacher == GOLD_TEACHER else [])]
        flags += ["doubtful_gold"] if gold.answer is None else []
    return cot_row(
        config, item.question, item.choices, answer, rationale=rationale, teacher_answer=teacher_answer,
        teacher_text=text, source=item.place, flags=list(dict.fromkeys(flags)), kind=kind,
    )  # fmt: skip


def _read_answers(config: ConfigName, own: OwnRows, layouts: Mapping[ConfigName, Layout], _: Golds) -> ConfigRows:
    read = ConfigRows((), 0, {})
    read.rows = _answer_rows(config, own, layouts, read)
    return read


def _answer_rows(
    config: ConfigName, own: OwnRows, layouts: Mapping[ConfigName, Layout], read: ConfigRows
) -> Iterator[Row]:
    """Yield a row without CoT for each question with a gold; only the ids of the questions are in memory."""
    seen: set[str] = set()
    for of_rows, place in own.sources.items():
        for item in _items(place, own, layouts[of_rows], read, {}):
            row = _row(config, own.kind, item, item.gold) if item.gold and item.id not in seen else None
            if row is not None:
                seen.add(item.id)
                yield row


def _hold_out(own: OwnRows, layouts: Mapping[ConfigName, Layout]) -> list[EvalItem]:
    """Return the test split: the questions with the smallest ids, which are hashes, so more rows change little."""
    held: dict[str, EvalItem] = {}
    for config, place in own.sources.items():
        for item in _items(place, own, layouts[config], ConfigRows((), 0, {}), {}):
            if item.gold and item.gold.answer is not None:
                held.setdefault(item.id, EvalItem(item.question, item.choices, item.gold.answer, item.place))
            if len(held) > 2 * own.test_rows + _PEEK:
                held = {id_: held[id_] for id_ in sorted(held)[: own.test_rows]}
    if len(held) < own.test_rows:
        raise CotDistillError(
            f"`--test-rows {own.test_rows}` needs as many questions with a gold, and there are {len(held)}: ask for "
            "fewer, or map the column of the gold, or of responses that conclude with it, as `--map answer=COLUMN`."
        )
    return [held[id_] for id_ in sorted(held)[: own.test_rows]]
