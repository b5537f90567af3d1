# Two commands: `make demo` and `make test`. Both set themselves up.
PYTHON ?= python3
BIN := .venv/bin
# An editable install copies the task files, so an edit of one asks for an install.
INSTALLED := pyproject.toml constraints.txt $(shell find eval_tasks -type f)

demo: .venv/installed
	$(BIN)/cot-distill demo

test: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest

bench: .venv/installed
	$(BIN)/python tests/bench/bench_dataset.py

# torch first and by itself: a plain resolution may bring gigabytes that a CPU has no use for.
# llamafactory last and alone: it asks for older libraries than ours, but a test runs its loader only, and that does without.
.venv/installed: $(INSTALLED)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[train,eval,dev]'
	$(BIN)/pip install -q -c constraints.txt --no-deps llamafactory omegaconf
	touch $@

.PHONY: demo test bench
