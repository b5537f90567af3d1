"""`python -m cot_distill_datasets.cli`, the same as `cot-distill`."""

import sys

from . import main


if __name__ == "__main__":
    sys.exit(main())
