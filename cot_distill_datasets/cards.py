"""The cards: Markdown rendered from typed data through huggingface_hub's card classes, templates in `cards/`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData
from jinja2 import Environment, StrictUndefined

from .benchmarks import TEST_SPLITS
from .release import DROPPED, Release
from .repairs import REPAIRS
from .resources import resource
from .schema import COLUMNS, FINDINGS
from .taxonomy import EVAL_PREFIX, RELEASE_NAME, TEACHERS, ConfigName
from .terms import TEACHER_TERMS


def write_dataset_card(release: Release, folder: Path) -> None:
    """Write the README of a release folder: front matter that `load_dataset` reads, then what a person reads."""
    names = [ConfigName.parse(stats.name) for stats in release.training]
    splits = {stats.name.removeprefix(f"{EVAL_PREFIX}-") for stats in release.configs}
    benchmarks = {name: TEST_SPLITS[name] for name in TEST_SPLITS if name in splits | {c.benchmark for c in names}}
    teachers = {config.teacher for config in names}
    agreements = [round(100 * stats.agreement) for stats in release.training if stats.agreement is not None]
    data = DatasetCardData(
        language="en",
        license=sorted({benchmark.licence for benchmark in benchmarks.values()}),
        annotations_creators=["machine-generated", *(["expert-generated"] if "human" in teachers else [])],
        task_categories=["text-generation", "question-answering"],
        tags=["chain-of-thought", "distillation", "reasoning", "math", "commonsense", "arxiv:2502.18001"],
        pretty_name="CoT-Distill",
        size_categories=_size_category(sum(stats.rows for stats in release.configs)),
        configs=release.front_matter(),
    )
    render_card(
        DatasetCard,
        data,
        "dataset_card.md.jinja",
        release=release,
        release_name=RELEASE_NAME,
        default=release.default,
        benchmarks=benchmarks,
        repairs=REPAIRS,
        columns={name: what for name, (_, what) in COLUMNS.items()},
        findings=FINDINGS,
        reasons=DROPPED,
        flagged=sum((Counter(stats.flags) for stats in release.training), Counter()),
        kept=sum((Counter(stats.kept_flags) for stats in release.training), Counter()),
        alias=next((config for config in names if config.alias), None),
        dropped=sum((Counter(stats.dropped) for stats in release.training), Counter()),
        teachers=TEACHERS,
        terms={name: terms for name, terms in TEACHER_TERMS.items() if name in teachers},
        from_paper=any(config.benchmark != "arith" for config in names),
        lowest=min(agreements, default=None),
        highest=max(agreements, default=None),
    ).save(folder / "README.md")


def render_page(template: str, **variables: Any) -> str:
    """Return a page from a template in `cards/`; one that asks for what nobody gives fails, and leaves no gap."""
    page = Environment(undefined=StrictUndefined).from_string(resource(f"cards/{template}").read_text())
    return page.render(variables)


def render_card(card: type[Any], data: Any, template: str, **variables: Any) -> Any:
    """Return a card of huggingface_hub's, its front matter out of `data`, its page as `render_page` gives it.

    Not `from_template`, which leaves a gap for what is undefined.
    """
    return card(render_page(template, card_data=data.to_yaml(), **data.to_dict() | variables))


def _size_category(rows: int) -> str:
    """Return the Hub's word for a number of rows (hub-docs, `datasetcard.md`, `size_categories`)."""
    bounds = {"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6}
    return next(word for word, bound in bounds.items() if rows < bound)
