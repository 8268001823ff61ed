.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?=
FOLLOW ?= --follow
COMPOSE = docker compose $(if $(PROFILE),--profile $(PROFILE))
SCRIPTS = deploy.sh $(shell find docker scripts -name '*.sh')
# One seed for the order of the tests and for Hypothesis.
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
# Most tests wait more than they compute.
JOBS ?= 3
PYTEST = $(BIN)/pytest --dist loadfile --no-loadscope-reorder --randomly-seed $(SEED) --hypothesis-seed $(SEED)
# Through the environment, so that quotes and dollars in a title stay what they are.
export SONG

.PHONY: help run up down logs health test unit coverage check lint types imports deploy-lint commits audit vulnerabilities sbom format lock bench bench-full clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/.run ## Start the audio service and do the main job once (SONG="<URL or title>" to choose)
	@$(BIN)/butakero up --demo $${SONG:+--song "$$SONG"}

up: | docker-ready ## Build the image and start everything with Docker Compose (PROFILE=monitoring: dashboards too)
	@$(COMPOSE) up --detach --build --wait
	@echo "API: http://127.0.0.1:8080/docs   health: http://127.0.0.1:8080/api/v1/health   stop: make down"

down: | docker-ready ## Stop what `make up` started; what it stored stays
	@$(COMPOSE) --profile '*' down --remove-orphans

logs: | docker-ready ## Follow the logs of what `make up` started (FOLLOW= to print and end)
	@$(COMPOSE) logs $(FOLLOW) --tail 100

health: ## Ask what `make up` started how it is; fails unless all is well
	@curl --fail-with-body --silent --show-error http://127.0.0.1:8080/api/v1/health && echo

test: $(VENV)/.dev ## Install what the tests need and run them all, in a random order (SEED=n repeats one)
	@$(PYTEST) --numprocesses $(JOBS)

unit: $(VENV)/.dev ## The tests that need no server and take no time: under two minutes
	@$(PYTEST) --numprocesses 2 -m "not server and not slow" --ignore tests/discord --ignore tests/e2e

coverage: $(VENV)/.dev ## Run all tests and measure branches, child processes included; fails below the floor
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@PYTHONPATH=$(CURDIR)/tests/coverage $(PYTEST) --numprocesses $(JOBS)
	@find .cache/coverage -size 0 -delete  # of processes that were killed before they had measured anything
	@$(BIN)/coverage report

check: lint types imports deploy-lint vulnerabilities ## Lint, format, types, module boundaries, deployment files, audit

lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev ## basedpyright, strict
	@$(BIN)/basedpyright

imports: $(VENV)/.dev ## import-linter: who may import whom
	@$(BIN)/lint-imports

deploy-lint: $(VENV)/.dev ## Compose file, Dockerfiles, shell scripts, Kubernetes manifests, alerts
	@$(BIN)/docker-compose --file docker-compose.yml --profile '*' config --quiet
	@$(BIN)/python -m tests.deploy.compose
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/shellcheck .ci/run $(SCRIPTS)
	@$(BIN)/python -m tests.deploy.manifests
	@$(BIN)/python -m tests.servers.prometheus
	@[ ! -x $(BIN)/hadolint ] || $(BIN)/hadolint docker/Dockerfile.*

commits: ## Commit subjects of at most 72 characters (COMMITS=<range> to choose which)
	@scripts/commit-subjects.sh "$${COMMITS:-main..HEAD}"

audit: $(VENV)/.dev ## Known vulnerabilities of everything that is locked (asks PyPI; what it cannot tell is a failure)
	@$(BIN)/python -m tests.deploy.audit --strict

vulnerabilities: $(VENV)/.dev ## The same; what nobody can tell, without a network say, is said and is no failure
	@$(BIN)/python -m tests.deploy.audit

sbom: $(VENV)/.dev ## What each image holds, as CycloneDX: dist/<image>.cdx.json, from the locks alone
	@mkdir -p dist
	@for image in audio bot; do \
		PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements/$$image.txt --pyproject pyproject.toml \
			--output-reproducible --output-format JSON --output-file dist/$$image.cdx.json && \
			echo "dist/$$image.cdx.json" || exit 1; \
	done

format: $(VENV)/.dev ## Rewrite the sources in the project's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## Side-by-side benchmarks, quick: each row a ratio; bench/results/ has the numbers
	@$(BIN)/python -m bench

bench-full: $(VENV)/.dev ## The same in full: more repetitions, a million records, Kafka and MongoDB
	@$(BIN)/python -m bench --full

lock: $(VENV)/.dev ## Resolve pyproject.toml into requirements/ with hashes
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra audio --extra tracing --extra build -o requirements/audio.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra bot --extra tracing --extra build -c requirements/audio.txt \
		-o requirements/bot.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra audio --extra bot --extra tracing --extra build --extra dev \
		-c requirements/audio.txt -c requirements/bot.txt -o requirements/dev.txt

.PHONY: docker-ready
docker-ready:
	@command -v docker >/dev/null || { echo "Docker is needed for this: https://docs.docker.com/engine/install/"; exit 1; }
	@docker compose version >/dev/null 2>&1 || { echo "The Compose plugin of Docker is needed for this."; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "Docker does not answer: is it running, and may you use it?"; exit 1; }

clean: ## Remove the environment and the data
	rm -rf $(VENV) data

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python -m venv failed: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/.run: requirements/audio.txt requirements/bot.txt | $(BIN)/python
	@echo "Installing the locked dependencies into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/audio.txt -r requirements/bot.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing the locked development dependencies into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@ $(VENV)/.run
