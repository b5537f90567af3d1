"""The dataset card: the README of a release folder."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from ..benchmarks import TEST_SPLITS, Benchmark
from ..files import resource
from ..licenses import teacher_terms
from ..names import EVAL_PREFIX, HOME_PAGE, RELEASE_NAME, TEACHERS
from ..schema import COLUMNS, FINDINGS
from ..sources.repairs import REPAIRS
from ..templates import code, render_card
from .editions import EDITIONS
from .folder import DROPPED, ConfigStats, Release


def write_dataset_card(release: Release, folder: Path) -> None:
    """Write the README of a release folder: front matter for `load_dataset`, then the text for people."""
    names = [stats.config for stats in release.training]
    benchmarks = _benchmarks(release)
    licenses = {origin["license"] for origin in (*release.own_benchmarks.values(), *release.origins.values())}
    teachers = sorted({config.teacher for config in names}, key=lambda name: ([*TEACHERS, name].index(name), name))
    of_paper = [stats for stats in release.training if _is_of_paper(stats, release)]
    agreements = [round(100 * stats.agreement) for stats in of_paper if stats.agreement is not None]
    data = DatasetCardData(
        language="en",
        license=sorted(licenses | {benchmark.license for benchmark in benchmarks.values()}),
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
        home_page=HOME_PAGE,
        editions=EDITIONS,
        benchmarks=benchmarks,
        repairs=REPAIRS,
        columns={name: description for name, (_, description) in COLUMNS.items()},
        findings=FINDINGS,
        reasons=DROPPED,
        flagged=sum((Counter(stats.flags) for stats in release.training), Counter()),
        kept=sum((Counter(stats.kept_flags) for stats in release.training), Counter()),
        alias=next((config for config in names if config.alias), None),
        dropped=sum((Counter(stats.dropped) for stats in release.training), Counter()),
        teachers={name: (_description(name, release), teacher_terms(name)) for name in teachers},
        from_paper=bool(of_paper),
        lowest=min(agreements, default=None),
        highest=max(agreements, default=None),
        changelog=_changelog(),
    ).save(folder / "README.md")


def _benchmarks(release: Release) -> dict[str, Benchmark]:
    """Return the benchmarks and test splits of a release by name, the own ones with what they were compared with."""
    names = {stats.config.benchmark for stats in release.training}
    tests = [stats.name for stats in release.configs if stats.split == "test"]
    names |= {test.removeprefix(f"{EVAL_PREFIX}-") for test in tests}
    note = f"Its questions were compared with those of {', '.join(tests)}."
    own = {name: replace(release.benchmark(name), note=note) for name in release.own_benchmarks}
    return {name: split for name, split in TEST_SPLITS.items() if name in names} | own


def _is_of_paper(stats: ConfigStats, release: Release) -> bool:
    is_own = stats.name in release.origins or release.benchmark(stats.config.benchmark).embedded
    return stats.config.teacher in TEACHERS and not is_own


def _description(teacher: str, release: Release) -> str:
    """Return who a teacher is: for a new one, the models that were asked."""
    configs = (stats for stats in release.training if stats.config.teacher == teacher)
    models = sorted({way["model"] for stats in configs for way in stats.generation})
    return TEACHERS.get(teacher) or ", ".join(map(code, models)) or teacher


def _changelog() -> dict[str, list[str]]:
    """Return the dataset's changes by version: the items below the headings `### Dataset` of `CHANGELOG.md`."""
    versions = re.split(r"^## ", resource("CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    items = {}
    for text in versions:
        _, _, dataset = text.partition("### Dataset\n")
        section = re.split(r"^#", dataset, maxsplit=1, flags=re.MULTILINE)[0]
        entries = re.split(r"^- ", section, flags=re.MULTILINE)[1:]
        items[text.split()[0]] = [" ".join(entry.split()) for entry in entries]  # an item may have several lines
    return {version: lines for version, lines in items.items() if lines}


def _size_category(rows: int) -> str:
    """Return the Hub's size category for a number of rows (hub-docs, `datasetcard.md`, `size_categories`)."""
    bounds = {"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6}
    return next(category for category, bound in bounds.items() if rows < bound)
