"""The paper's release (github.com/EIT-NLP/Distilling-CoT-Reasoning): where it lies, and which file is which config.

What to read comes from the release's own manifest, `data/dataset_info.json`, whose names are read by rule:

>>> str(config_of("svamp_gemma_bsm")), str(config_of("auqa_ChatGPT_level1")), str(config_of("GSM8k_only_ans"))
('gpt4o-l5-l2m-svamp', 'gpt4o-l1-aqua', 'answer-gsm8k')
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .taxonomy import ConfigName, CotDistillError


MANIFEST = "dataset_info.json"

_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_REPOSITORY = re.compile(r"(?:https|ssh|file)://")  # no `ext::`, which runs a command

# Words of the manifest's names → ours. The first that occurs counts.
_BENCHMARK_WORDS = {
    "svamp": "svamp", "gsm8k": "gsm8k", "aqua": "aqua", "auqa": "aqua", "math": "math",
    "cqa": "csqa", "csqa": "csqa", "obqa": "obqa", "stqa": "strategyqa",
}  # fmt: skip
_TEACHER_WORDS = {
    "llama": "llama70b", "gemini": "gemini", "chatgpt": "gpt4o",
    "human": "human", "only_ans": "answer", "onlyans": "answer",
}  # fmt: skip
_FORMAT_WORDS = {"bsm": "l2m", "rar": "rar", "sym": "symbolic"}
# Formats were made at the level that suits a family of students (paper section 4, `gsm8k_gemma_sym` and the like).
_LEVEL_OF_STUDENT = {"gemma": 5, "bloom": 3}


@dataclass(frozen=True)
class Entry:
    """One entry of the manifest: which config it is, which file holds it, and in which two columns."""

    config: ConfigName
    file_name: str
    question_column: str
    response_column: str


def config_of(manifest_name: str) -> ConfigName:
    """Return the config that a name of the manifest stands for.

    Raises:
        CotDistillError: the name has no known benchmark, or no teacher or level.
    """
    name = manifest_name.lower()
    benchmark = _first(_BENCHMARK_WORDS, name)
    format_ = _first(_FORMAT_WORDS, name) or "cot"
    teacher = _first(_TEACHER_WORDS, name) or ("gpt4o" if format_ != "cot" else None)  # formats are GPT-4o's only
    if benchmark is None or teacher is None:
        raise CotDistillError(f"The manifest's name {manifest_name!r} tells no benchmark or no teacher.")
    level = re.search(r"level(\d)", name)
    granularity = int(level[1]) if level else _first(_LEVEL_OF_STUDENT, name) or 0
    return ConfigName(teacher, granularity, format_, benchmark)


def _first(words: dict[str, Any], name: str) -> Any:
    return next((meaning for word, meaning in words.items() if word in name), None)


@contextmanager
def checkout(source: str) -> Iterator[Path]:
    """Yield the folder of the release: `source` itself, or a clone for as long as the block lasts, where it is a URL.

    Raises:
        CotDistillError: git cannot clone it.
    """
    if not _REPOSITORY.match(source):
        yield Path(source)
        return
    with TemporaryDirectory(prefix="cot-distill-upstream-") as folder:
        clone = ["git", "-c", "credential.helper=", "clone", "--quiet", "--depth", "1", "--", source, folder]
        try:
            subprocess.run(
                clone, check=True, capture_output=True, text=True, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"}
            )
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            complaint = f"git cannot clone {source}: {' '.join(said)}"
            raise CotDistillError(_CREDENTIALS.sub("//", complaint)) from None  # the cause quotes the whole URL
        yield Path(folder)


def data_folder(upstream: Path) -> Path:
    """Return the folder that holds the manifest: `upstream` itself or its `data/`.

    Raises:
        CotDistillError: there is no manifest in either.
    """
    for folder in (upstream, upstream / "data"):
        if (folder / MANIFEST).is_file():
            return folder
    raise CotDistillError(
        f"There is no {MANIFEST} in {upstream} or in its data/: give a checkout of the paper's release."
    )


def read_manifest(data: Path) -> tuple[list[Entry], dict[str, str]]:
    """Return the manifest's entries, sorted by config, and why each of the others cannot be read, by its name.

    Raises:
        CotDistillError: the manifest is not what the release has.
    """
    entries: dict[ConfigName, Entry] = {}
    refused: dict[str, str] = {}
    try:
        for name, described in json.loads((data / MANIFEST).read_bytes()).items():
            try:
                entry = _entry(name, described)
            except CotDistillError as error:
                refused[name] = str(error)
                continue
            if entry.config in entries:
                refused[name] = f"The manifest's name {name!r} is a second entry for {entry.config}."
            else:
                entries[entry.config] = entry
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CotDistillError(f"The manifest {data / MANIFEST} cannot be read: {error}.") from error
    return [entries[config] for config in sorted(entries)], refused


def _entry(name: str, described: Any) -> Entry:
    texts = (described["file_name"], described["columns"]["prompt"], described["columns"]["response"])
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} has something else than a text as its file or its columns")
    return Entry(config_of(name), *texts)


def file_of(entry: Entry, data: Path) -> Path:
    """Return where the entry's file lies.

    Raises:
        CotDistillError: the manifest points outside its own folder.
    """
    path = (data / entry.file_name.replace("\0", "")).resolve()
    if not path.is_relative_to(data.resolve()):
        raise CotDistillError(f"{entry.file_name}: the manifest points outside {data}.")
    return path
