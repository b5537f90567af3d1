"""Score configs under a student, on the same questions, part by part: a killed run resumes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset

from ..benchmarks import find_benchmark
from ..errors import CotDistillError
from ..files import atomic_file
from ..grading.conclusions import Kind
from ..messages import message, progress
from ..names import RELEASE_NAME, ConfigName
from ..release.folder import own_benchmark, read_release
from ..schema import Row
from ..studies.keys import digest
from ..training.data import load_rows, select_questions
from ..training.failures import errors_as_message
from ..training.models import check_vocabulary
from .base import Base
from .grace import DIMENSIONS, grace, projected_gradients, require_small
from .passes import Measures, measure
from .scores import SCORES, Terms, lengths, mean_surprisal, rank_surprisal_ratio, rationale_distillation
from .texts import RowTexts, Text, row_texts


FOLDER = Path("runs/recommend")
SCHEMA = pa.schema(
    [
        ("config", pa.string()),
        ("id", pa.string()),  # of the question; of GRACE, the number of the split
        ("score", pa.string()),
        ("numerator", pa.float64()),
        ("denominator", pa.float64()),
    ]
)
_PART = 100  # questions of a config that are scored before their results are written
_COLUMNS = ["id", "benchmark", "choices", "answer", "rationale", "prompt"]
_EVERY_ROW = "words"  # a score that each row has
_DEFINITIONS = [dataclasses.astuple(score) for score in SCORES]  # part of the key of a result


def score_configs(
    base: Base,
    configs: Sequence[ConfigName],
    dataset: str = RELEASE_NAME,
    *,
    rows: int = 500,
    folder: Path = FOLDER,
    gradients: bool = False,
) -> pa.Table:
    """Return the terms of every score of configs (`SCHEMA`), on the first `rows` questions that all of them have.

    The order is that of the ids, which are hashes. A score is the sum of its numerators over the sum of its
    denominators. All configs have the same ids. A config has no lines of a score that is not defined for it: `rsr` and
    `surprisal` without CoT, `agreement` where the release does not tell it. `agreement` is that of the config, on each
    of its lines. `grace` has one line for each split of the questions.

    Results are written below `folder` as they are computed, so that a killed run resumes. Raises CotDistillError if
    the configs share no question, the rows lack columns or are too long, or logits are NaN, and with `gradients` if
    the student has more than 10M parameters.
    """
    if gradients:
        require_small(base)
    names = list(dict.fromkeys(map(str, configs)))
    loaded = {name: _load(name, dataset) for name in names}
    ids = sorted(set.intersection(*(set(part["id"]) for part in loaded.values())))[:rows]
    if not ids:
        raise CotDistillError(f"{', '.join(names)} share no question: score them apart.")
    benchmark = configs[0].benchmark
    kind = find_benchmark(benchmark, own_benchmark(benchmark, dataset)).answer_kind
    parts = [(ids[start : start + _PART], name) for start in range(0, len(ids), _PART) for name in names]
    closings: dict[Text, Measures] = {}
    tables, projections = [], []
    for part, name in progress(parts, f"Scoring {len(names)} configs under {base.name}, part by part"):
        chosen = select_questions(loaded[name], part).to_list()
        key = digest([base.key, base.limit, _DEFINITIONS, chosen])
        path = folder / base.name / f"{name}.{key}.parquet"
        with errors_as_message(f"Cannot score {name} under {base.path}", {}):
            tables.append(_stored(path, partial(_score_part, base, name, chosen, kind, closings)))
            if gradients:
                path = path.with_suffix(".gradients.parquet")
                projections.append(_stored(path, partial(_gradient_part, base, name, chosen, kind)))
    table = _complete(pa.concat_tables(tables), len(names), len(ids), base.limit)
    lines = _agreements(table, dataset) + (_graces(pa.concat_tables(projections), table) if gradients else [])
    return pa.concat_tables([table, pa.Table.from_pylist(lines, schema=SCHEMA)])


def _load(config: str, dataset: str) -> Dataset:
    rows = load_rows(config, dataset)
    if lacking := [f"`{name}`" for name in _COLUMNS if name not in rows.column_names]:
        raise CotDistillError(
            f"The rows of {config} in {dataset} lack {', '.join(lacking)}: pass the folder of a release."
        )
    return rows.select_columns(_COLUMNS)


def _stored(path: Path, compute: Callable[[], pa.Table]) -> pa.Table:
    """Return the table that an earlier run wrote to `path`, else compute and write it."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException):  # it is missing or damaged
        table = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as staged:
        pq.write_table(table, staged)
    return table


def _score_part(base: Base, config: str, rows: Sequence[Row], kind: Kind, closings: dict[Text, Measures]) -> pa.Table:
    """Return the terms of rows. `closings` has the measures of the closing sentences that other configs share."""
    fitting = _fitting(base, rows, kind)
    needed = {text for _, texts in fitting for text in texts} - closings.keys()
    measures = measure(base, needed) | closings
    closings |= {texts.closing: measures[texts.closing] for _, texts in fitting}
    lines = [
        _line(config, row["id"], score, terms)
        for row, texts in fitting
        for score, terms in _terms(row, *(measures[text] for text in texts)).items()
    ]
    return pa.Table.from_pylist(lines, schema=SCHEMA)


def _terms(row: Row, full: Measures, closing: Measures, masked: Measures) -> dict[str, Terms]:
    return {
        "rsr": rank_surprisal_ratio(full.surprisals, full.ranks),
        "surprisal": mean_surprisal(full.surprisals),
        "rd": rationale_distillation(full.answer, closing.answer),
        "rd_masked": rationale_distillation(masked.answer, closing.answer),
        **lengths(row),
    }


def _gradient_part(base: Base, config: str, rows: Sequence[Row], kind: Kind) -> pa.Table:
    fitting = _fitting(base, rows, kind)
    gradients = projected_gradients(base, [texts.full for _, texts in fitting])
    ids = [row["id"] for row, _ in fitting]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(gradients.ravel()), gradients.shape[1])
    return pa.table({"config": pa.array([config] * len(ids), pa.string()), "id": ids, "gradient": vectors})


def _fitting(base: Base, rows: Sequence[Row], kind: Kind) -> list[tuple[Row, RowTexts]]:
    """Return the rows that are not too long, with their texts."""
    texts = [(row, row_texts(row, kind, base.tokenizer)) for row in rows]
    fitting = [(row, of_row) for row, of_row in texts if len(of_row.full.tokens) <= base.limit]
    check_vocabulary(base.model, [text.tokens for _, of_row in fitting for text in of_row], base.tokenizer)
    return fitting


def _complete(table: pa.Table, configs: int, wanted: int, limit: int) -> pa.Table:
    """Return the lines of the questions that fit in all configs, without the scores that no row of a config has."""
    columns = [table[name].to_pylist() for name in ("config", "score", "id", "denominator")]
    having, sums = Counter[str](), Counter[tuple[str, str]]()
    for config, score, id_, denominator in zip(*columns):
        having[id_] += score == _EVERY_ROW
        sums[config, score] += denominator
    left_out = wanted - sum(count == configs for count in having.values())
    if left_out:
        reason = f"{left_out} of the {wanted} questions are left out: a row of theirs has more than {limit} tokens"
        if left_out == wanted:
            raise CotDistillError(f"{reason}. Choose configs with shorter texts, or another student.")
        message(f"{reason}.")
    kept = [having[id_] == configs and sums[config, score] > 0 for config, score, id_, _ in zip(*columns)]
    return table.filter(pa.array(kept, pa.bool_()))


def _ids(table: pa.Table) -> dict[str, list[str]]:
    """Return the ids of the questions of each config."""
    ids: dict[str, list[str]] = {}
    for config, score, id_ in zip(*(table[name].to_pylist() for name in ("config", "score", "id"))):
        if score == _EVERY_ROW:
            ids.setdefault(config, []).append(id_)
    return ids


def _agreements(table: pa.Table, dataset: str) -> list[dict[str, Any]]:
    """Return the lines of the control `agreement`: the same of each row, since a release tells only the share."""
    release = read_release(Path(dataset))
    shares = {stats.name: stats.agreement for stats in release.training} if release else {}
    return [
        _line(config, id_, "agreement", (share, 1.0))
        for config, ids in _ids(table).items()
        if (share := shares.get(config)) is not None
        for id_ in ids
    ]


def _graces(gradients: pa.Table, table: pa.Table) -> list[dict[str, Any]]:
    """Return the lines of GRACE: one for each config and split."""
    lines = []
    for config, ids in _ids(table).items():
        rows = gradients.filter((pc.field("config") == config) & pc.field("id").isin(ids))
        vectors = rows["gradient"].combine_chunks().flatten().to_numpy().reshape(-1, DIMENSIONS)
        scores = grace(vectors, rows["id"].to_pylist())
        lines += [_line(config, str(split), "grace", (score, 1.0)) for split, score in enumerate(scores)]
    return lines


def _line(config: str, id_: str, score: str, terms: Terms) -> dict[str, Any]:
    return {"config": config, "id": id_, "score": score, "numerator": terms[0], "denominator": terms[1]}
