# On a fresh machine with Python and make: `make sweep` runs the main job, `make test` the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: sweep test lint bench cost kills fuzz load clean

sweep: $(VENV)/.installed
	$(BIN)/normexp sweep

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-dev
	$(BIN)/python tests/harness/bench.py

# Harnesses, minutes each: `make test` runs a few of the same kills and mutations.
kills: $(VENV)/.installed-dev
	$(BIN)/python tests/harness/kills.py --kills 100
	$(BIN)/python tests/harness/removals.py --kills 50

fuzz: $(VENV)/.installed-dev
	PYTHONPATH=tests $(BIN)/python tests/harness/fuzz.py

load: $(VENV)/.installed-dev
	$(BIN)/python tests/harness/load.py

cost: $(VENV)/.installed-dev
	$(BIN)/python tests/harness/load.py --cost --runs 100000 --picture .github/cost-by-size.png

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,parity,slurm,ray,search,tensorboard,mlflow,wandb,trackio,bench,zoo]'
	touch $@ $(VENV)/.installed
