"""The explorer of the Hub dataset as a Space."""

from cot_distill_datasets.explorer.app import explore


explore(None, [], [])
