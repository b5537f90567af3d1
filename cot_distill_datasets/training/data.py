"""The rows that a student is trained on: of one config or a mixture, from a release folder or the Hub."""

import itertools
import random
import textwrap
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import Dataset, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetsError

from ..errors import CotDistillError, nearest
from ..hub import limit_waits
from ..names import RELEASE_NAME, ConfigName, Mixture
from ..release.folder import find_release, read_release


_COLUMNS = ["id", "prompt", "completion"]


def load_rows(config: str | ConfigName, dataset: str = RELEASE_NAME, revision: str | None = None) -> Dataset:
    """Return the training rows of a config, from the release folder or the Hub dataset `dataset`.

    `revision` is one of the Hub. A folder holds one edition, which must be that of `revision`. Raises CotDistillError
    if the dataset does not exist, is a different edition, has no such config, or has no rows or rows of another shape.
    """
    name = str(ConfigName.parse(config) if isinstance(config, str) else config)
    release = find_release(Path(dataset)) if dataset == RELEASE_NAME else read_release(Path(dataset))
    if release is not None:
        configs, edition = [stats.name for stats in release.training], release.edition
        if name not in configs:
            raise CotDistillError(f"{dataset} has no config {name!r}: use {nearest(name, configs)}.")
        if revision not in (None, edition.revision, release.tag):
            raise CotDistillError(
                f"The folder {dataset} holds the edition `{edition.name}` (`{edition.revision}`, {release.tag}), but "
                f"`dataset_revision` is {revision!r}: build that edition and pass its folder as `--dataset_name`, or "
                "omit `dataset_revision`."
            )
    limit_waits()
    own_folder = release is None and Path(dataset).is_dir()
    try:
        with TemporaryDirectory() as cache:
            # datasets 5.2 would read its cache of another folder of the same name, or of the rows before an edit. The
            # files of a release carry a hash of their rows.
            options = {"cache_dir": cache, "keep_in_memory": True} if own_folder else {}
            rows = load_dataset(dataset, name, split="train", revision=None if release else revision, **options)
    except OSError as error:
        if release is not None:  # `datasets` looks for the files of every config
            reason = str(error).partition(" with any")[0]
            raise CotDistillError(f"The release in {dataset} lacks files: build it again. {reason}.") from error
        raise CotDistillError(
            f"There is no release in {dataset}, and the Hub has no `{name}` or cannot be reached: run "
            "`cot-distill build` first."
        ) from error
    except ValueError as error:  # an empty split, or no such config
        raise CotDistillError(f"{dataset} has no training rows of `{name}`: {error}") from error
    except DatasetsError as error:  # a broken file, a full disk
        reason = error.__cause__ or error
        raise CotDistillError(f"Cannot read or cache the rows of `{name}` in {dataset}: {reason}") from error
    _check_shape(rows, f"`{name}` in {dataset}")
    return rows


def _check_shape(rows: Dataset, place: str) -> None:
    """Reject rows of other shapes: a row of a release is a turn of the user and one of the assistant."""
    turn = '[{"role": "%s", "content": "text"}]'
    wanted = f"a row has an `id`, a `prompt` {turn % 'user'} and a `completion` {turn % 'assistant'}"
    if missing := [name for name in _COLUMNS if name not in rows.column_names]:
        columns, lacking = (", ".join(f"`{name}`" for name in names) for names in (rows.column_names, missing))
        raise CotDistillError(f"The rows of {place} have {columns}, but no {lacking}: {wanted}.")
    for number, row in enumerate(rows.select_columns(_COLUMNS)):
        for name, role in (("prompt", "user"), ("completion", "assistant")):
            if not _is_turn(row[name], role):
                short = textwrap.shorten(repr(row[name]), 80)
                raise CotDistillError(f"Row {number} of {place} has the {name} {short}: {wanted}.")


def _is_turn(turns: Any, role: str) -> bool:
    match turns:
        case [{"role": str(speaker), "content": str(text)}]:
            return speaker == role and bool(text.strip())
    return False


def load_mixture(mixture: Mixture, dataset: str, revision: str | None = None, *, seed: int) -> Dataset:
    """Return the rows of a mixture of configs (`load_rows`, `mix`)."""
    return mix([load_rows(config, dataset, revision) for config in mixture.configs], mixture, seed=seed)


def mix(parts: Sequence[Dataset], mixture: Mixture, *, seed: int) -> Dataset:
    """Return the rows of a mixture: each question once, from the config that a seeded hash of its `id` selects.

    A question that some configs lack is taken from the others, by their weights. Of a question that a config repeats,
    the first row counts. The rows of a single config are returned unchanged.
    """
    if len(parts) == 1:
        return parts[0]
    index: dict[str, dict[int, int]] = {}  # id → config → row in the concatenation
    starts = itertools.accumulate((len(part) for part in parts), initial=0)
    for number, (part, start) in enumerate(zip(parts, starts)):
        for row, id_ in enumerate(part["id"], start):
            index.setdefault(id_, {}).setdefault(number, row)
    selected = []
    for id_, row_by_config in index.items():
        weights = [mixture.weights[number] for number in row_by_config]
        # A string seeds by its SHA-512, the same on every machine (CPython, `random.seed`).
        selected += random.Random(f"{seed} {id_}").choices(list(row_by_config.values()), weights)
    return concatenate_datasets(list(parts)).select(selected)


def select_questions(rows: Dataset, ids: Sequence[str]) -> Dataset:
    """Return the first row of each question of `ids`, in their order, so that arms differ in nothing but their text.

    Raises CotDistillError if a question is missing.
    """
    first: dict[str, int] = {}
    for number, id_ in enumerate(rows["id"]):
        first.setdefault(id_, number)
    if missing := [id_ for id_ in ids if id_ not in first]:
        raise CotDistillError(f"The rows lack {len(missing)} of the {len(ids)} questions, such as {missing[0]}.")
    return rows.select([first[id_] for id_ in ids])


def coarse_to_fine(rows: Dataset, *, seed: int) -> Dataset:
    """Return the rows ordered by granularity, from tersest to finest; shuffled by `seed` within one granularity.

    Raises CotDistillError if all rows have the same granularity.
    """
    if len(set(rows["granularity"])) < 2:
        raise CotDistillError("`coarse_to_fine` needs rows of several granularities: pass a mixture.")
    shuffled = rows.shuffle(seed=seed)
    levels = shuffled["granularity"]
    return shuffled.select(sorted(range(len(shuffled)), key=lambda row: levels[row]))


def rows_hash(rows: Dataset) -> str:
    """Return the SHA-256 of the prompts and completions, in order."""
    digest = sha256()
    for row in rows.select_columns(["prompt", "completion"]):
        digest.update(repr(row).encode())
    return digest.hexdigest()
