# Needs a POSIX shell and Python 3.11 to 3.13, nothing else.

PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help setup test check demo wheel pictures docs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12    interpreter of the virtual environment (now: $(PYTHON))"
	@echo "  TORCH_INDEX=URL      package index of another torch build, for instance for a GPU or for CPUs only"

setup: $(STAMP) ## virtual environment .venv with pinned dependencies

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "learnopt needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)" >&2; \
	    echo "Name another interpreter, for instance: make setup PYTHON=python3.12" >&2; \
	    exit 1; }
	$(PYTHON) -m venv .venv

# Torch first where it comes from its own index; its dependencies come with everything else from the usual one.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/pip
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install --no-deps --index-url $(TORCH_INDEX) -c constraints.txt torch
endif
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	$(BIN)/learnopt warmup
	@touch $@

test: check ## all checks, then the tests with coverage
	$(BIN)/pytest -n auto --dist loadfile --cov --cov-report=term

check: setup ## lint, format, types, layer rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: setup ## the whole loop in small: generate, label, train, track, accelerate, report
	$(BIN)/python training/demo.py

wheel: setup ## source distribution and wheel in dist/
	PIP_CONSTRAINT='$(CURDIR)/constraints.txt' $(BIN)/python -m build

pictures: setup ## the pictures of README.md and docs/, and the outputs they show
	$(BIN)/python docs/make_pictures.py
	$(BIN)/python docs/shown.py

docs: setup ## the documentation as a site in site/
	$(BIN)/python -m pip install -c constraints.txt -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict

clean: ## remove caches and build outputs; .venv, data, weights and runs stay
	rm -rf dist build site .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find learnopt tests training benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
