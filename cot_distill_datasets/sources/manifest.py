"""The paper's release (github.com/EIT-NLP/Distilling-CoT-Reasoning): its folder, and the config of each file.

The release's own manifest, `data/dataset_info.json`, lists the files. Its names are parsed by rule:

>>> str(parse_manifest_name("svamp_gemma_bsm")), str(parse_manifest_name("auqa_ChatGPT_level1"))
('gpt4o-l5-l2m-svamp', 'gpt4o-l1-aqua')
"""

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

from ..errors import CotDistillError
from ..names import ConfigName


MANIFEST = "dataset_info.json"

_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_REPOSITORY = re.compile(r"(?:https|ssh|file)://")  # not `ext::`, which runs a command

# Words of the manifest's names → ours. The first one that a name contains is used.
_BENCHMARK_WORDS = {
    "svamp": "svamp", "gsm8k": "gsm8k", "aqua": "aqua", "auqa": "aqua", "math": "math",
    "cqa": "csqa", "csqa": "csqa", "obqa": "obqa", "stqa": "strategyqa",
}  # fmt: skip
_TEACHER_WORDS = {
    "llama": "llama70b", "gemini": "gemini", "chatgpt": "gpt4o",
    "human": "human", "only_ans": "answer", "onlyans": "answer",
}  # fmt: skip
_FORMAT_WORDS = {"bsm": "l2m", "rar": "rar", "sym": "symbolic"}
# Names of formats have the student family instead of the level (paper section 4; `gsm8k_gemma_sym`).
_STUDENT_LEVELS = {"gemma": 5, "bloom": 3}


@dataclass(frozen=True)
class Entry:
    """One entry of the manifest: a config, its file, and the file's two columns."""

    config: ConfigName
    file_name: str
    question_column: str
    response_column: str


def parse_manifest_name(manifest_name: str) -> ConfigName:
    """Return the config of a manifest name. Raises CotDistillError if its benchmark, teacher or level is unknown."""
    name = manifest_name.lower()
    benchmark = _first(_BENCHMARK_WORDS, name)
    format_ = _first(_FORMAT_WORDS, name) or "cot"
    teacher = _first(_TEACHER_WORDS, name) or ("gpt4o" if format_ != "cot" else None)  # formats are GPT-4o's only
    if benchmark is None or teacher is None:
        missing = "teacher" if benchmark else "benchmark"
        raise CotDistillError(f"The name {manifest_name!r} in the manifest does not contain a known {missing}.")
    level = re.search(r"level(\d)", name)
    granularity = int(level[1]) if level else _first(_STUDENT_LEVELS, name) or 0
    return ConfigName(teacher, granularity, format_, benchmark)


def _first(words: dict[str, Any], name: str) -> Any:
    return next((meaning for word, meaning in words.items() if word in name), None)


@contextmanager
def clone_or_open(source: str) -> Iterator[Path]:
    """Yield `source`, or if it is a URL, a clone deleted after the block. Raises CotDistillError if git fails."""
    if not _REPOSITORY.match(source):
        yield Path(source)
        return
    with TemporaryDirectory(prefix="cot-distill-upstream-") as folder:
        clone = ["git", "-c", "credential.helper=", "clone", "--quiet", "--depth", "1", "--", source, folder]
        env = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
        try:
            subprocess.run(clone, check=True, capture_output=True, text=True, env=env)
        except (OSError, subprocess.CalledProcessError) as error:
            last_line = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            message = f"git cannot clone {source}: {' '.join(last_line)}"
            raise CotDistillError(_CREDENTIALS.sub("//", message)) from None  # the cause shows the credentials
        yield Path(folder)


def data_folder(upstream: Path) -> Path:
    """Return the manifest's folder: `upstream` or its `data/`. Raises CotDistillError if neither contains it."""
    for folder in (upstream, upstream / "data"):
        if (folder / MANIFEST).is_file():
            return folder
    raise CotDistillError(f"{upstream} and its data/ have no {MANIFEST}: pass a checkout of the paper's release.")


def read_manifest(data: Path) -> tuple[list[Entry], dict[str, str]]:
    """Return the manifest's entries, sorted by config, and the reasons why others cannot be read (name → reason).

    Raises CotDistillError if the manifest does not have the layout of the release.
    """
    entries: dict[ConfigName, Entry] = {}
    unreadable: dict[str, str] = {}
    try:
        for name, description in json.loads((data / MANIFEST).read_bytes()).items():
            columns = description["columns"]
            values = (description["file_name"], columns["prompt"], columns["response"])
            if not all(isinstance(value, str) for value in values):
                raise TypeError(f"the file and columns of {name} must be strings")
            try:
                config = parse_manifest_name(name)
                if config in entries:
                    raise CotDistillError(f"The name {name!r} in the manifest is a second entry for {config}.")
                entries[config] = Entry(config, *values)
            except CotDistillError as error:
                unreadable[name] = str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CotDistillError(f"Cannot read the manifest {data / MANIFEST}: {error}.") from error
    return [entries[config] for config in sorted(entries)], unreadable


def data_path(entry: Entry, data: Path) -> Path:
    """Return the path of the entry's file, which may be missing. Raises CotDistillError if it is outside `data`."""
    path = (data / entry.file_name.replace("\0", "")).resolve()
    if not path.is_relative_to(data.resolve()):
        raise CotDistillError(f"{entry.file_name}: the path in the manifest is outside {data}.")
    return path
