"""Print the prompt and the target that LLaMA-Factory renders for the messages on stdin, by template, as JSON.

    DISABLE_VERSION_CHECK=1 python tests/llamafactory_prompts.py gemma llama3 < messages.json

The JSON object is the last line of the output. Each template is rendered with the tokenizer in the folder of the same
name. `llamafactory_rows.py` explains why this needs its own process.
"""

import json
import sys
from types import ModuleType

import peft  # noqa: F401  # it looks for torchaudio, so it is imported before the empty module exists
from transformers import AutoTokenizer


def main(names: list[str]) -> None:
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    messages, rendered = json.load(sys.stdin), {}
    for name in names:
        tokenizer = AutoTokenizer.from_pretrained(name)
        template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template=name))
        rendered[name] = [tokenizer.decode(ids) for ids in template.encode_oneturn(tokenizer, messages)]
    print(json.dumps(rendered))


if __name__ == "__main__":
    main(sys.argv[1:])
