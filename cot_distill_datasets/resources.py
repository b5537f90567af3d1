"""Where the files that are not Python lie: card templates, recipes, chat templates, task YAML."""

from __future__ import annotations

from pathlib import Path


_PACKAGE = Path(__file__).parent


def resource(relative: str) -> Path:
    """Return the path of a shipped file such as `training/sft.py`.

    In a checkout (and an editable install) that is the file at its root, else the wheel's copy inside the package;
    `pyproject.toml` lists what the wheel copies.
    """
    checkout = _PACKAGE.parent
    root = checkout if (checkout / "pyproject.toml").is_file() else _PACKAGE / "_files"
    return root / relative
