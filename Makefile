.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Through the environment, so that quotes and dollars in a title stay what they are.
export SONG

.PHONY: help run test check lint types imports format lock bench bench-full clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/.run ## Start the audio service and do the main job once (SONG="<URL or title>" to choose)
	@$(BIN)/butakero up --demo $${SONG:+--song "$$SONG"}

test: $(VENV)/.dev ## Install what the tests need and run them all
	@$(BIN)/pytest

check: lint types imports ## Lint, format, types, module boundaries

lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev ## basedpyright, strict
	@$(BIN)/basedpyright

imports: $(VENV)/.dev ## import-linter: who may import whom
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Rewrite the sources in the project's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## Side-by-side benchmarks, each prints a ratio
	@$(BIN)/python -m bench

bench-full: $(VENV)/.dev ## The slow rows too
	@$(BIN)/python -m bench --full

lock: $(VENV)/.dev ## Resolve pyproject.toml into requirements/ with hashes
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --extra audio --extra build -o requirements/audio.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --extra audio --extra build --extra dev -c requirements/audio.txt \
		-o requirements/dev.txt

clean: ## Remove the environment and the data
	rm -rf $(VENV) data

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python -m venv failed: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/.run: requirements/audio.txt | $(BIN)/python
	@echo "Installing the locked dependencies into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/audio.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing the locked development dependencies into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@ $(VENV)/.run
