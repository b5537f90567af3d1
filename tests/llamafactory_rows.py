"""Print the rows that LLaMA-Factory's own loader makes of a training file, per dataset, as the last line.

    DISABLE_VERSION_CHECK=1 python tests/llamafactory_rows.py train.yaml [key=value …]

It runs in a process of its own because of a stand-in: LLaMA-Factory imports torchaudio, for sound alone, and the
package index has no CPU build of it. Version 0.9.5 asks for older libraries than ours; its loader runs with these.
"""

import json
import sys
from types import ModuleType

import peft  # noqa: F401  # it asks for torchaudio, so it is imported before there seems to be one


def main() -> None:
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.hparams import get_train_args

    model_args, data_args, training_args, *_ = get_train_args()  # reads the arguments of `llamafactory-cli train`
    loaded = _get_merged_dataset(data_args.dataset, model_args, data_args, training_args, "sft", return_dict=True)
    print(json.dumps({name: dataset.to_list() for name, dataset in loaded.items()}))


if __name__ == "__main__":
    main()
