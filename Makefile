# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: quickstart test test-all lint format bench base-model data

quickstart: $(INSTALLED)  ## install, then run the quickstart study
	$(BIN)/harness run experiments/quickstart.yaml

test: $(INSTALLED)  ## lint, types, and all tests that take less than a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not slow"  # two processes of one thread each

test-all: test  ## the slow tests as well
	$(BIN)/pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## measurements; each prints a table and writes JSON to benchmarks/out
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

data: $(INSTALLED)  ## write the embedded task data again
	$(BIN)/python -m tools.world.datasets

base-model: $(INSTALLED)  ## train the embedded model again
	$(BIN)/python -m tools.world.pretrain

# A stamp and not the folder, so that an install cut short is done again.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
