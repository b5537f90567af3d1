"""Print what the libraries of this environment read: a JSON object by folder or config, as the last line.

    .venv-readers/bin/python tests/readers.py students FOLDER…
    .venv-readers/bin/python tests/readers.py release FOLDER CONFIG…

The tests compare the output of an environment with older libraries (`tests/readers.txt`) with that of their own.
"""

import json
import sys
from typing import Any


TURNS = [{"role": "user", "content": "12 boxes of 3\nHow many?"}, {"role": "assistant", "content": "36 "}]


def student(folder: str) -> dict[str, Any]:
    """Return what decides the answers of a student: token ids, rendered turns, logits and a generated answer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = tokenizer.apply_chat_template(TURNS[:1], tokenize=False, add_generation_prompt=True)
    encoded = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        logits = model(**encoded).logits[0, -1]
    return {
        "rendered": [prompt, tokenizer.apply_chat_template(TURNS, tokenize=False)],
        "encoded": {name: values.tolist() for name, values in encoded.items()},
        "special": [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.all_special_ids],
        "padding": [tokenizer.padding_side, tokenizer.model_max_length],
        "dtype": str(model.dtype),
        "stops_at": model.generation_config.eos_token_id,
        "logits": [round(value, 4) for value in logits.tolist()],
        "answer": model.generate(**encoded, max_new_tokens=8, do_sample=False).tolist(),
    }


def config(folder: str, name: str) -> dict[str, Any]:
    """Return the types and rows of a config of a release."""
    from datasets import load_dataset

    (rows,) = load_dataset(folder, name).values()
    return {"types": str(rows.features.arrow_schema.remove_metadata()), "rows": rows.to_list()}


if __name__ == "__main__":
    kind, *names = sys.argv[1:]
    read = {name: student(name) for name in names} if kind == "students" else {
        name: config(names[0], name) for name in names[1:]
    }  # fmt: skip
    print(json.dumps(read))
