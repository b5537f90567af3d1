"""The files of a student that only transformers 5 reads as it wrote them: rewritten so that others read the same.

The other readers are transformers 4.57.6, llama.cpp's converter (which requires it) and transformers.js. A test reads
a student with the first two, each in an environment of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import atomic_write


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def rewrite_for_all_readers(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Rewrite a saved model and its tokenizer in place; transformers 5 reads the same values as before.

    safetensors creates its files for their owner only, whatever the umask says: they get the mode of `config.json`.
    """
    if (folder / "tokenizer.json").is_file():
        _update(folder / "tokenizer_config.json", lambda config: _tokenizer_keys(config, tokenizer))
    _update(folder / "config.json", _rope_keys)
    mode = (folder / "config.json").stat().st_mode
    for weights in folder.glob("*.safetensors"):
        weights.chmod(mode)


def _update(path: Path, keys: Any) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= keys(config)
    atomic_write(path, json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def _tokenizer_keys(config: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the keys that make `tokenizer.json` the only source of the token ids (`PreTrainedTokenizerFast`).

    `TokenizersBackend` is unknown before transformers 5. There, a class of one model family would also replace parts
    of `tokenizer.json`, and a tokenizer without `model_input_names` returns `token_type_ids`, which Llama rejects.
    """
    extra = config.pop("extra_special_tokens", None)  # a list; transformers 4 expects a dict here
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": tokenizer.model_input_names,
        "padding_side": tokenizer.padding_side,
        **({"additional_special_tokens": extra} if extra else {}),
    }


def _rope_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Return the values of `rope_parameters` under the names that transformers 4 reads; it ignores this key.

    Gemma 3 has one set for each kind of attention.
    """
    rope = config.get("rope_parameters") or {}
    full = rope.get("full_attention", rope)
    keys = {key: full[key] for key in ("rope_theta", "partial_rotary_factor") if key in full}
    if full.get("rope_type", "default") != "default":
        keys["rope_scaling"] = {key: value for key, value in full.items() if key not in keys}
    if "sliding_attention" in rope:
        keys["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    return keys
