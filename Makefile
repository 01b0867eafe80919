# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
TOOLS := .venv/.tools

.PHONY: quickstart test test-slow test-hostile test-all lint lowest format docs bench base-model data

quickstart: $(INSTALLED)  ## install, then run the quickstart study
	$(BIN)/harness run experiments/quickstart.yaml

test: lint  ## lint, types, and all tests that take less than a minute
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not slow and not hostile and not demand"  # two processes of one thread each

test-slow: $(TOOLS)  ## the tests that take longer: whole commands, real servers; reports/kept/slow_tests.md has the last results
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "slow and not hostile and not demand"

test-hostile: $(TOOLS)  ## every hostile case; reports/kept/slow_tests.md has the last results
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "hostile and not demand"

test-all: test test-slow test-hostile

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry harness tasks tools
	$(BIN)/mypy

LOWEST := .venv-lowest
WITH_LOWEST := test_imports.py core metrics data models study cli training/test_loop.py training/test_decoding.py \
  runner/test_run_tree.py serving/test_stored_models.py tracking/test_prompt_registry.py

lowest:  ## tests on the lowest versions that pyproject.toml allows, in an environment of their own
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(PYTHON) -m tools.lowest_versions > $(LOWEST)/pins.txt
	$(LOWEST)/bin/pip install --quiet --constraint $(LOWEST)/pins.txt --editable ".[test]"
	OMP_NUM_THREADS=1 $(LOWEST)/bin/pytest -o filterwarnings=default -m "not slow and not hostile and not demand" $(addprefix tests/,$(WITH_LOWEST))

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TOOLS)  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(TOOLS)  ## measurements; each prints a table and writes JSON to benchmarks/out
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

data: $(INSTALLED)  ## write the embedded task data again
	$(BIN)/python -m tools.world.datasets

base-model: $(INSTALLED)  ## train the embedded model again
	$(BIN)/python -m tools.world.pretrain

# Stamps and not the folder, so that an install cut short is done again.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

# What users of the package never need: linters, test runners, and what tests compare with.
$(TOOLS): $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs,lint,test]"
	touch $@
