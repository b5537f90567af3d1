"""Export training configs for trainers that do not read lists of prompt and completion messages.

cot-distill export --to llamafactory --out llamafactory_data --config gpt4o-fine-svamp

    llamafactory_data/dataset_info.json       an entry per config, canonical and alias, over one file
    llamafactory_data/gpt4o-l5-svamp.jsonl    {"id": …, "messages": [{"role": "user", …}, {"role": "assistant", …}]}

LLaMA-Factory reads them with `dataset_dir: llamafactory_data` and `dataset: gpt4o-fine-svamp`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow
from pyarrow import parquet

from ..errors import CotDistillError, nearest
from ..files import atomic_dir, is_empty, recover
from ..names import ConfigName
from .folder import ConfigStats, require_release


INFO = "dataset_info.json"  # LLaMA-Factory's name for it
_FORMAT = {
    "formatting": "sharegpt",  # LLaMA-Factory's `openai` adds a system message, "detailed thinking off"
    "columns": {"messages": "messages"},
    "tags": {f"{name}_tag": name for name in ("role", "content", "user", "assistant", "system")},
}


def export_llamafactory(folder: Path, out: Path, configs: list[str] | None = None) -> list[ConfigStats]:
    """Write training configs of the release `folder` to `out`, atomically, and return them.

    `configs` are canonical names or aliases; by default, all training configs are written. Test splits never are.
    Raises CotDistillError if `folder` is not a release, lacks a config or cannot be read, or `out` has other content.
    """
    selected = _select(folder, configs)
    recover(out)
    if not (is_empty(out) or (out.is_dir() and _is_export(out))):
        raise CotDistillError(f"{out} is not empty and not an export: pass an empty or new folder as --out.")
    with atomic_dir(out) as staged:
        for stats in selected:
            _write_rows(folder / stats.file, staged / f"{stats.name}.jsonl")
        (staged / INFO).write_text(_dataset_info(stats.config for stats in selected), encoding="utf-8")
    return selected


def _select(folder: Path, configs: list[str] | None) -> list[ConfigStats]:
    by_name = {name: stats for stats in require_release(folder).training for name in _names(stats.config)}
    for name in configs or []:
        if name not in by_name:
            raise CotDistillError(f"{folder} has no training config {name!r}: use {nearest(name, by_name)}.")
    selected = {by_name[name].name: by_name[name] for name in configs or by_name}
    return [selected[name] for name in sorted(selected)]


def _names(config: ConfigName) -> list[str]:
    return [str(config), config.alias] if config.alias else [str(config)]


def _dataset_info(configs: Iterable[ConfigName]) -> str:
    entries = {name: {"file_name": f"{config}.jsonl"} | _FORMAT for config in configs for name in _names(config)}
    return json.dumps(entries, indent=1, sort_keys=True) + "\n"


def _write_rows(source: Path, target: Path) -> None:
    try:
        rows = parquet.read_table(source, columns=["id", "prompt", "completion"]).to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise CotDistillError(f"Cannot read {source}: build the release again ({error}).") from error
    with target.open("w", encoding="utf-8") as file:
        for row in rows:
            line = {"id": row["id"], "messages": row["prompt"] + row["completion"]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _is_export(folder: Path) -> bool:
    """Whether `dataset_info.json` is the one that an export of exactly the files beside it has.

    Its presence alone is not enough: LLaMA-Factory's own data folder has one, and so has the paper's release.
    """
    data = list(folder.glob("*.jsonl"))
    if {INFO, *(path.name for path in data)} != {path.name for path in folder.iterdir()}:
        return False
    try:
        expected = _dataset_info(ConfigName.parse(path.stem) for path in data)
    except CotDistillError:  # a file whose name is not a config
        return False
    return (folder / INFO).read_bytes() == expected.encode()
