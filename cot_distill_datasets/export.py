"""Export training configs for trainers that do not read our message lists as they are.

cot-distill export --to llamafactory --out llamafactory_data --config gpt4o-fine-svamp

    llamafactory_data/dataset_info.json       an entry per config, canonical and alias, over one file
    llamafactory_data/gpt4o-l5-svamp.jsonl    {"id": …, "messages": [{"role": "user", …}, {"role": "assistant", …}]}

LLaMA-Factory reads them with `dataset_dir: llamafactory_data` and `dataset: gpt4o-fine-svamp`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow
from pyarrow import parquet

from .folders import is_vacant, replaced_folder, restore
from .release import ConfigStats, existing_release
from .taxonomy import ConfigName, CotDistillError, nearest


INFO = "dataset_info.json"  # the name that LLaMA-Factory looks for
_FORMAT = {
    "formatting": "sharegpt",  # its `openai` adds a system message of its own, "detailed thinking off"
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def export_llamafactory(folder: Path, out: Path, configs: list[str] | None = None) -> list[ConfigStats]:
    """Write the training configs of the release `folder` to `out`, in one swap, and return them.

    `configs` are canonical names or aliases, without them all are written. Test splits never are.

    Raises:
        CotDistillError: `folder` is no release, has no such config or cannot be read, or `out` holds something else.
    """
    chosen = _chosen(folder, configs)
    _check_out(out)
    with replaced_folder(out) as staged:
        for stats in chosen:
            _write_rows(folder / stats.file, staged / f"{stats.name}.jsonl")
        (staged / INFO).write_text(_dataset_info(stats.name for stats in chosen))
    return chosen


def _chosen(folder: Path, configs: list[str] | None) -> list[ConfigStats]:
    release = existing_release(folder)
    known = {name: stats for stats in release.training for name in _names(stats.name)}
    for name in configs or []:
        if name not in known:
            raise CotDistillError(f"{folder} has no training config {name!r}: use {nearest(name, known)}.")
    chosen = {known[name].name: known[name] for name in configs or known}
    return [chosen[name] for name in sorted(chosen)]


def _names(config: str) -> list[str]:
    alias = ConfigName.parse(config).alias
    return [config, alias] if alias else [config]


def _dataset_info(configs: Iterable[str]) -> str:
    entries = {name: {"file_name": f"{config}.jsonl"} | _FORMAT for config in configs for name in _names(config)}
    return json.dumps(entries, indent=1, sort_keys=True) + "\n"


def _write_rows(source: Path, target: Path) -> None:
    try:
        rows = parquet.read_table(source, columns=["id", "prompt", "completion"]).to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise CotDistillError(f"{source} cannot be read: build the release again ({error}).") from error
    with target.open("w", encoding="utf-8") as file:
        for row in rows:
            line = {"id": row["id"], "messages": row["prompt"] + row["completion"]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _check_out(out: Path) -> None:
    restore(out)
    if not (is_vacant(out) or (out.is_dir() and _is_export(out))):
        raise CotDistillError(f"{out} holds something else than an export: give an empty or a new folder as --out.")


def _is_export(folder: Path) -> bool:
    """Tell whether `dataset_info.json` is what an export of exactly the files beside it has.

    That one is there says nothing: LLaMA-Factory's own data folder has one, and so has the paper's release.
    """
    data = list(folder.glob("*.jsonl"))
    if {INFO, *(path.name for path in data)} != {path.name for path in folder.iterdir()}:
        return False
    try:
        expected = _dataset_info(path.stem for path in data)
    except CotDistillError:  # a file that is named after no config
        return False
    return (folder / INFO).read_bytes() == expected.encode()
