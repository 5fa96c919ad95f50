# Two commands do everything on a machine with Python >= 3.11 and make:
#   make demo   set up, then score five synthetic slides with the bundled model
#   make test   set up, then lint, type-check, check the architecture and run the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell $(PYTHON) -c "import hashlib,pathlib;print(hashlib.sha256(pathlib.Path('requirements.lock').read_bytes()+pathlib.Path('pyproject.toml').read_bytes()).hexdigest()[:16])")
DEMO_OUT ?= demo
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-gpu lint format lock clean

help:  ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'her2-ihc needs Python >= 3.11, this is ' + sys.version.split()[0] + ': make PYTHON=python3.11 ...')"
	@echo "== setting up $(VENV): about 5.5 GB, a few minutes (torch with its CUDA libraries) =="
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

setup: $(STAMP)  ## Make the virtual environment (.venv) from the hash-pinned lock

demo: $(STAMP)  ## Score five synthetic slides with the bundled model; say where the pictures are
	$(BIN)/her2 demo --out $(DEMO_OUT)

lint: $(STAMP)  ## Lint, type-check and check the architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## Everything that must pass: lint, types, architecture, tests (<= 12 minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow and not gpu" -n auto $(PYTEST_ARGS)

test-slow: $(STAMP)  ## The long proofs: kill loops, 60,000 px slides, trainings
	$(BIN)/pytest -m "slow and not gpu" --timeout 3600 $(PYTEST_ARGS)

test-gpu: $(STAMP)  ## All checks on a CUDA GPU, with their figures; fails where there is none
	HER2_GPU_TESTS=needed $(BIN)/pytest -m gpu -rP --timeout 1800 tests/gpu tests/unit/inference $(PYTEST_ARGS)

format: $(STAMP)  ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(STAMP)  ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra all --generate-hashes --output-file requirements.lock pyproject.toml

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
