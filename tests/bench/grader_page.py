"""The page `docs/grader.md`: its sections, each from what was read and what a person judged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from extractors import JUDGED_OF
from released import CLASSES, SAMPLE, Said, Text, Verdicts, disagreeing, flexible, patterns_of, strict
from scipy.stats import binomtest

from cot_distill_datasets.answers import PARSER


COMMAND = "python tests/bench/grader_agreement.py --upstream ../shared/upstream"
Record = dict[str, Any]
PROSE = {
    "number": """
lm-eval's two tasks are its own YAML files, run by its own task class: its filters, its `exact_match`. They were
written for other texts than these. `gsm8k strict` wants `#### 18`, which no teacher writes. `gsm8k_cot strict` wants a
character behind the number, or else it loses the last digit ("The answer is 18" gives 1): the examples in that task's
prompt end with a full stop, most of these texts do not, so each is read once more with one added. It takes the first
"The answer is" and the first number behind it, not the value of "12 - 4 = 11"; `flexible` takes the last number of the
text, so also that of a remark behind the answer. Both compare strings: `9.0` is not `9`. math-verify has its two
default targets, LaTeX and expressions; of what follows "answer:" it takes the first number ("to find the answer: 1.").
""".strip(),
    "math": r"""
math-verify has its two default targets, the gold between `$`. It looks for LaTeX between `$` or in a `\boxed`, and for
plain numbers: an answer that a teacher wrote without these (`32x+80`, `gray`) it cannot see. Most texts that strict
alone misses are the human solutions, which have no closing sentence. In some texts JSON broke the LaTeX (`rac{1}{3}`
behind a form feed): ours is given it repaired elsewhere, but here as released.
""".strip(),
}


def page(texts: dict[str, Text], said: Verdicts, judged: list[Record], disagreements: list[Record]) -> str:
    """Return the page in Markdown."""
    sections = [
        _introduction(texts),
        _agreement(texts.values()),
        _disagreements(texts.values(), disagreements),
        _comparison(texts, said, judged, "number", "Beside lm-eval and math-verify: numbers (GSM8K, SVAMP)"),
        _comparison(texts, said, judged, "math", "Beside math-verify: MATH"),
    ]
    return "\n\n".join(sections) + "\n"


def _introduction(texts: dict[str, Text]) -> str:
    return f"""# How far the grader can be trusted

Grader: `{PARSER}`. Written by

```bash
{COMMAND}
```

which read the {len(texts):,} CoT of the paper's released files that are at hand, each teacher's text exactly as the
JSON file has it, before any repair. *Strict* wants the closing sentence ("The answer is 18"); *flexible* takes the
last answer where there is none. Golds are those of the release's answer-only files, in canonical form (`9` for `9.0`).
One reader judged what texts conclude, mostly from their last 230 to 330 characters; each judgement is a line of
`tests/bench/judged.jsonl` or `disagreements.jsonl`, with the place of its text in the release. Texts on which all
extractors agree were not judged: they may be wrong together. Defects that were found so were mended since, so what
today's grader makes of the judged texts flatters it."""


def _agreement(texts: Iterable[Text]) -> str:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        if text.gold is not None:
            concluded, anyhow = strict(text), flexible(text)
            for group in (f"`{text.config}`", "**all**"):
                found[group] += Counter(
                    rows=1, concluded=concluded.answer is not None, strict=concluded.is_gold, flexible=anyhow.is_gold
                )  # fmt: skip
    found["**all**"] = found.pop("**all**")
    lines = [
        [name, f"{n['rows']:,}", *(_percent(n[key], n["rows"]) for key in ("concluded", "strict", "flexible"))]
        for name, n in found.items()
    ]
    head = ["config (one file each)", "rows with a gold", "strict conclusion", "strict = gold", "flexible = gold"]
    return f"""## Agreement with the gold, per file

Shares of the rows with a gold. It is no measure of the teacher alone: teachers were shown the gold, and the parser
decides. Human solutions of MATH and some of AQuA have no closing sentence.

{_table(head, lines)}"""


def _disagreements(texts: Iterable[Text], recorded: list[Record]) -> str:
    judged = {record["source"]: record["class"] for record in recorded}
    found = disagreeing(texts)
    counts = Counter(judged[text.source] for text in found[:SAMPLE] if text.source in judged)
    ours = counts["extraction"] + counts["form"]
    wrong = [record for record in recorded if record["class"] in ("extraction", "form")]
    now = {text.source: flexible(text).answer for text in found}
    still = [
        [_place(one["source"]), _code(one["gold"]), _code(now[one["source"]]), _cell(one["note"])]
        for one in wrong
        if one["source"] in now
    ]
    lines = [[name, meaning, str(counts[name])] for name, meaning in CLASSES.items()]
    return f"""## Where `extract` and the gold disagree

Flexible reading disagrees with the gold in {len(found):,} texts. {counts.total()} of them, the first by the hash of
their source, were read one by one:

{_table(["class", "why", "texts"], lines)}

Ours to answer for (extraction or form): {ours} of {counts.total()}, {_interval(ours, counts.total())} (95 % Wilson).
Today's grader reads {len(wrong) - len(still)} of the {len(wrong)} texts ever recorded as such as the gold. The others:

{_table(["source", "gold", "read", "why"], still)}"""


def _comparison(texts: dict[str, Text], said: Verdicts, records: list[Record], kind: str, title: str) -> str:
    said = {source: readings for source, readings in said.items() if texts[source].kind == kind}
    names = JUDGED_OF[kind]
    patterns = patterns_of(said, names)
    counts = Counter(patterns.values())
    judged: dict[tuple[bool, ...], list[bool | None]] = defaultdict(list)
    for record in records:
        if record["source"] in said:
            judged[patterns[record["source"]]].append(record["is_gold"])
    everyone = next(iter(said.values()))
    totals = [[name, f"{sum(readings[name].is_gold for readings in said.values()):,}"] for name in everyone]
    rows = []
    for pattern, count in counts.most_common():
        if len(set(pattern)) > 1:
            read = judged[pattern]
            marks = ["gold" if verdict else "–" for verdict in pattern]
            read_as = [str(read.count(answer)) for answer in (True, False, None)]
            rows.append([*marks, f"{count:,}", str(len(read)), *read_as])
    pairs = [
        _pair(names.index(mine), names.index(other), names, counts, judged)
        for mine in names[:2]
        for other in names[2:]
    ]
    mistakes = [
        _mistake(record, said[record["source"]])
        for record in records
        if record["source"] in said
        and record["is_gold"] not in (None, said[record["source"]]["ours flexible"].is_gold)
    ]
    return f"""## {title}

{PROSE[kind]}

Texts read: {len(said):,}. Of how many each extractor says that they conclude the gold:

{_table(["extractor", "says: the gold"], totals)}

Who differs from whom, and what a reader found in some texts of each kind (*two*: it concludes two things):

{_table([*names, "texts", "judged", "the gold", "not the gold", "two"], rows)}

Who is right where they differ. An extractor is right where its verdict, the gold or not, is the reader's; *all texts*
is the share of all differing texts in which ours is right, each kind of difference in its own proportion.

{_table(["ours", "the other", "texts that differ", "judged", "ours right", "other right", "two", "all texts"], pairs)}

Judged texts that ours, flexible, reads wrongly, and who reads them right:

{_table(["source", "the text ends", "gold", "ours", "concludes", "right"], mistakes)}"""


def _mistake(record: Record, readings: dict[str, Said]) -> list[str]:
    right = [name for name in JUDGED_OF[record["kind"]] if readings[name].is_gold == record["is_gold"]]
    return [
        _place(record["source"]),
        _code(record["excerpt"][-70:]),
        _code(record["gold"]),
        _code(readings["ours flexible"].answer),
        _code(record["concludes"]),
        ", ".join(right) or "nobody",
    ]


def _place(source: str) -> str:
    return _code(source.removeprefix("data/").replace("_ranked.json", "").replace(".json", ""))


def _code(text: str | None) -> str:
    return "nothing" if text is None else f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("`", "'").replace("|", r"\|")


def _pair(
    mine: int,
    other: int,
    names: tuple[str, ...],
    counts: Counter[tuple[bool, ...]],
    judged: dict[tuple[bool, ...], list[bool | None]],
) -> list[str]:
    differing = [pattern for pattern in counts if pattern[mine] != pattern[other]]
    read = [(pattern, is_gold) for pattern in differing for is_gold in judged[pattern]]
    ours = sum(pattern[mine] == is_gold for pattern, is_gold in read)
    two = sum(is_gold is None for _, is_gold in read)
    seen = [pattern for pattern in differing if judged[pattern]]
    right = sum(counts[p] * judged[p].count(p[mine]) / len(judged[p]) for p in seen)
    share = _percent(right, sum(counts[p] for p in seen)) if seen else ""
    total = sum(counts[pattern] for pattern in differing)
    return [names[mine], names[other], f"{total:,}", *map(str, (len(read), ours, len(read) - ours - two, two)), share]


def _interval(part: int, whole: int) -> str:
    interval = binomtest(part, whole).proportion_ci(method="wilson")
    return f"{100 * interval.low:.1f} – {100 * interval.high:.1f} %"


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["--:" if all(line[column][:1].isdigit() for line in lines) else "---" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))
