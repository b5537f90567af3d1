"""Print the rows that LLaMA-Factory's own loader reads for a training file, by dataset, as one JSON object.

    DISABLE_VERSION_CHECK=1 python tests/llamafactory_rows.py train.yaml [key=value …]

The object is the last line of the output. It runs in its own process because it replaces torchaudio with an empty
module: LLaMA-Factory imports it only for sound, and the package index has no CPU build of it. Version 0.9.5 requires
older libraries than ours, but its loader runs with ours (`DISABLE_VERSION_CHECK`).
"""

import json
import sys
from types import ModuleType

import peft  # noqa: F401  # it looks for torchaudio, so it is imported before the empty module exists


def main() -> None:
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.hparams import get_train_args

    model_args, data_args, training_args, *_ = get_train_args()  # reads the arguments of `llamafactory-cli train`
    loaded = _get_merged_dataset(data_args.dataset, model_args, data_args, training_args, "sft", return_dict=True)
    print(json.dumps({name: dataset.to_list() for name, dataset in loaded.items()}))


if __name__ == "__main__":
    main()
