"""The paper's release (github.com/EIT-NLP/Distilling-CoT-Reasoning): its folder, and the config of each file.

The release's own manifest, `data/dataset_info.json`, lists the files. Its names are parsed by rule:

>>> str(parse_manifest_name("svamp_gemma_bsm")), str(parse_manifest_name("auqa_ChatGPT_level1"))
('gpt4o-l5-l2m-svamp', 'gpt4o-l1-aqua')
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import CotDistillError, nearest
from ..messages import message
from ..names import ConfigName


MANIFEST = "dataset_info.json"

SURROGATE = re.compile("[\ud800-\udfff]")  # a lone one, which JSON may have and UTF-8 cannot encode
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_REPOSITORY = re.compile(r"(?:https|ssh|file)://")  # not `ext::`, which runs a command
_OPTIONS = {"ls-remote": [], "clone": ["--depth", "1"]}
_SECONDS = 20  # that the server of a repository may be silent

# Words of the manifest's names → ours. The first one that a name contains is used.
_BENCHMARK_WORDS = {
    "svamp": "svamp", "gsm8k": "gsm8k", "aqua": "aqua", "auqa": "aqua", "math": "math",
    "cqa": "csqa", "csqa": "csqa", "ecqa": "csqa", "obqa": "obqa", "stqa": "strategyqa",
}  # fmt: skip
_TEACHER_WORDS = {
    "llama": "llama70b", "gemini": "gemini", "chatgpt": "gpt4o",
    "human": "human", "only_ans": "answer", "onlyans": "answer",
}  # fmt: skip
_FORMAT_WORDS = {"bsm": "l2m", "rar": "rar", "sym": "symbolic"}
_ENTRY_KEYS, _COLUMNS = ("file_name", "columns"), ("prompt", "response")
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
        missing, words = ("teacher", _TEACHER_WORDS) if benchmark else ("benchmark", _BENCHMARK_WORDS)
        allowed = nearest(name, words, limit=10)
        raise CotDistillError(
            f"The name {manifest_name!r} in the manifest has an unknown {missing}: use {allowed}, or add a word to "
            "cot_distill_datasets/sources/manifest.py."
        )
    level = re.search(r"level(\d)", name)
    granularity = int(level[1]) if level else _first(_STUDENT_LEVELS, name) or 0
    return ConfigName(teacher, granularity, format_, benchmark)


def _first(words: dict[str, Any], name: str) -> Any:
    """Return the meaning of the first word that stands between underscores in a name; None without one."""
    return next((meaning for word, meaning in words.items() if f"_{word}_" in f"_{name}_"), None)


@contextmanager
def clone_or_open(source: str) -> Iterator[Path]:
    """Yield `source`, or if it is a URL, a clone deleted after the block. Raises CotDistillError if git fails."""
    if not _REPOSITORY.match(source):
        yield Path(source)
        return
    with TemporaryDirectory(prefix="cot-distill-upstream-") as folder:
        message(f"Cloning {_CREDENTIALS.sub('//', source)}.")
        _git("ls-remote", source)  # it ends in seconds, so it may have a limit: a clone may take minutes
        _git("clone", source, folder)
        yield Path(folder)


def _git(command: str, source: str, *more: str) -> None:
    """Run a command of git on a URL. Raises CotDistillError if it fails, or the server is silent.

    git's own limit covers the transfer, not the connection (git 2.39, `http.lowSpeedTime`).
    """
    limits = {"GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": str(_SECONDS)}
    arguments = ["git", "-c", "credential.helper=", command, "--quiet", *_OPTIONS[command], "--", source, *more]
    env = limits | os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    try:
        with subprocess.Popen(arguments, env=env, start_new_session=True, **pipes) as process:
            try:
                stderr = process.communicate(timeout=_SECONDS if command == "ls-remote" else None)[1]
            except BaseException as error:
                os.killpg(process.pid, signal.SIGTERM)  # with git's helpers, which would wait on
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                stderr = b"the server does not answer"
        failed = process.returncode != 0
    except OSError as error:
        failed, stderr = True, str(error).encode()
    if failed:
        lines = stderr.decode(errors="replace").strip().splitlines()
        reason = next((line for line in lines if line.startswith("fatal: ")), "".join(lines[-1:]))
        text = f"git cannot clone {source}: {reason.removeprefix('fatal: ')}"
        raise CotDistillError(_CREDENTIALS.sub("//", text))


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
        descriptions = json.loads((data / MANIFEST).read_bytes()).items()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CotDistillError(f"Cannot read the manifest {data / MANIFEST}: {error}.") from error
    for name, description in descriptions:
        try:
            entry = _parse_entry(name, description)
            if entry.config in entries:
                raise CotDistillError(f"The name {name!r} in the manifest is a second entry for {entry.config}.")
            entries[entry.config] = entry
        except CotDistillError as error:
            unreadable[name] = str(error)
    return [entries[config] for config in sorted(entries)], unreadable


def _parse_entry(name: str, description: Any) -> Entry:
    """Return an entry of the manifest. A key that would change how its rows are read is an error, not ignored."""
    config = parse_manifest_name(name)
    columns = description.get("columns") if isinstance(description, dict) else None
    if not isinstance(columns, dict):
        raise CotDistillError(f"The entry {name!r} of the manifest has no `columns` with `prompt` and `response`.")
    keys = [*(key for key in description if key not in _ENTRY_KEYS), *(key for key in columns if key not in _COLUMNS)]
    if keys:
        allowed = ", ".join(f"`{key}`" for key in (*_ENTRY_KEYS, *_COLUMNS))
        raise CotDistillError(f"The entry {name!r} of the manifest has an unknown key {keys[0]!r}: use {allowed}.")
    values: list[Any] = [description.get("file_name"), columns.get("prompt"), columns.get("response")]
    if not all(isinstance(value, str) for value in values):
        raise CotDistillError(f"The entry {name!r} of the manifest needs strings: `file_name`, `prompt`, `response`.")
    if SURROGATE.search("".join(values)):
        raise CotDistillError(f"The entry {name!r} of the manifest has a lone surrogate, which UTF-8 cannot encode.")
    return Entry(config, *values)


def data_path(entry: Entry, data: Path) -> Path:
    """Return the path of the entry's file, which may be missing. Raises CotDistillError if it is outside `data`."""
    path = (data / entry.file_name.replace("\0", "")).resolve()
    if not path.is_relative_to(data.resolve()):
        raise CotDistillError(f"{entry.file_name}: the path in the manifest is outside {data}.")
    return path
