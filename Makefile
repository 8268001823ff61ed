.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?=
FOLLOW ?= --follow
COMPOSE = docker compose $(if $(PROFILE),--profile $(PROFILE))
SCRIPTS = deploy.sh $(shell find docker monitoring scripts -name '*.sh')
# One seed for the order of the tests and for Hypothesis.
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
# Most tests wait more than they compute.
JOBS ?= 3
PYTEST = $(BIN)/pytest --dist loadfile --no-loadscope-reorder --randomly-seed $(SEED) --hypothesis-seed $(SEED)
SAY = scripts/say.sh
# Through the environment and as it was typed: make would expand the dollars of a title, and run its $(shell …).
override SONG := $(value SONG)
export SONG
export LOCALE

.PHONY: help run run-aws up down logs health test unit coverage check lint types imports deploy-lint commits audit vulnerabilities sbom format lambda lock bench bench-full clean

help: ## Show this list ## Muestra esta lista
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ' ## ' -v language="$$($(SAY))" \
		'{sub(/:.*/, "", $$1); printf "  make %-16s %s\n", $$1, language == "en" || $$3 == "" ? $$2 : $$3}'

run: $(VENV)/.run ## Start the audio service and do the main job once (SONG='<URL or title>' to choose) ## Arranca el servicio de audio y hace una vez lo principal (SONG='<enlace o título>' para elegir)
	@$(BIN)/butakero up --demo $${SONG:+--song="$$SONG"}

run-aws: $(VENV)/.dev ## The same on SQS, DynamoDB and S3: local servers stand in for AWS and end with it ## Lo mismo sobre SQS, DynamoDB y S3: servidores locales hacen de AWS y terminan con él
	@$(BIN)/python -m tests.servers.aws_here $(BIN)/butakero up --demo $${SONG:+--song="$$SONG"}

up: | docker-ready ## Build the image and start everything with Docker Compose (PROFILE=monitoring: dashboards too) ## Construye las imágenes y arranca todo con Docker Compose (PROFILE=monitoring: tableros también)
	@$(COMPOSE) up --detach --build --wait
	@$(SAY) "Página: http://127.0.0.1:8080/   API: http://127.0.0.1:8080/docs   para pararlo: make down" \
		"Page: http://127.0.0.1:8080/   API: http://127.0.0.1:8080/docs   to stop it: make down"

down: | docker-ready ## Stop what `make up` started; what it stored stays ## Para lo que arrancó `make up`; lo guardado queda
	@$(COMPOSE) --profile '*' down --remove-orphans

logs: | docker-ready ## Follow the logs of what `make up` started (FOLLOW= to print and end) ## Sigue los registros de lo que arrancó `make up`
	@$(COMPOSE) logs $(FOLLOW) --tail 100

health: ## Ask what `make up` started how it is; fails unless all is well ## Le pregunta a lo que arrancó `make up` cómo está; falla si algo no anda
	@curl --fail-with-body --silent --show-error http://127.0.0.1:8080/api/v1/health && echo

test: $(VENV)/.dev ## Install what the tests need and run them all, in a random order (SEED=n repeats one) ## Instala lo que necesitan las pruebas y las corre todas, en orden al azar (SEED=n repite uno)
	@$(PYTEST) --numprocesses $(JOBS)

unit: $(VENV)/.dev ## The tests that need no server and take no time: under two minutes ## Las pruebas rápidas que no necesitan servidor: menos de dos minutos
	@$(PYTEST) --numprocesses 2 -m "not server and not slow" --ignore tests/discord --ignore tests/e2e

coverage: $(VENV)/.dev ## Run all tests and measure branches, child processes included; fails below the floor ## Corre todas las pruebas y mide las ramas, también en los procesos hijos; falla bajo el mínimo
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@PYTHONPATH=$(CURDIR)/tests/coverage $(PYTEST) --numprocesses $(JOBS)
	@find .cache/coverage -size 0 -delete  # of processes that were killed before they had measured anything
	@$(BIN)/coverage report

check: lint types imports deploy-lint vulnerabilities ## Lint, format, types, module boundaries, deployment files, audit ## Reglas, formato, tipos, límites entre módulos, archivos de despliegue, auditoría

lint: $(VENV)/.dev ## ruff: rules and format ## ruff: reglas y formato
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev ## basedpyright, strict ## basedpyright, estricto
	@$(BIN)/basedpyright

imports: $(VENV)/.dev ## import-linter: who may import whom ## import-linter: quién puede importar a quién
	@$(BIN)/lint-imports

deploy-lint: $(VENV)/.dev ## Compose file, Dockerfiles, shell scripts, Kubernetes manifests, alerts, Terraform ## Compose, Dockerfiles, scripts, manifiestos de Kubernetes, alertas, Terraform
	@$(BIN)/docker-compose --file docker-compose.yml --profile '*' config --quiet
	@$(BIN)/python -m tests.deploy.compose
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/shellcheck -x .ci/run $(SCRIPTS)
	@$(BIN)/python -m tests.deploy.manifests
	@$(BIN)/python -m tests.servers.prometheus
	@$(BIN)/python -m tests.deploy.terraform
	@[ ! -x $(BIN)/hadolint ] || $(BIN)/hadolint docker/Dockerfile.*

commits: ## Commit subjects of at most 72 characters (COMMITS=<range> to choose which) ## Títulos de commits de 72 caracteres como máximo (COMMITS=<rango> para elegir cuáles)
	@scripts/commit-subjects.sh "$${COMMITS:-main..HEAD}"

audit: $(VENV)/.dev ## Known vulnerabilities of everything that is locked (asks PyPI, then OSV; what it cannot tell is a failure) ## Vulnerabilidades conocidas de todo lo fijado (le pregunta a PyPI y después a OSV; lo que no se sabe es una falla)
	@$(BIN)/python -m tests.deploy.audit --strict
	@$(BIN)/python -m tests.deploy.pins

vulnerabilities: $(VENV)/.dev ## The same; what nobody can tell, without a network say, is said and is no failure ## Lo mismo; lo que no se puede saber, por ejemplo sin red, se dice y no es una falla
	@$(BIN)/python -m tests.deploy.audit
	@$(BIN)/python -m tests.deploy.pins

sbom: $(VENV)/.dev ## What each image holds, as CycloneDX: dist/<image>.cdx.json, from the locks alone ## Qué tiene cada imagen, en CycloneDX: dist/<imagen>.cdx.json, solo a partir de los locks
	@mkdir -p dist
	@for image in audio bot; do \
		PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements/$$image.txt --pyproject pyproject.toml \
			--output-reproducible --output-format JSON --output-file dist/$$image.cdx.json && \
			echo "dist/$$image.cdx.json" || exit 1; \
	done

lambda: $(VENV)/.dev ## Pack the function of AWS Lambda into dist/, for arm64 and x86-64 ## Empaqueta la función de AWS Lambda en dist/, para arm64 y x86-64
	@$(BIN)/python scripts/package_lambda.py

format: $(VENV)/.dev ## Rewrite the sources in the project's format ## Reescribe las fuentes en el formato del proyecto
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## Side-by-side benchmarks, quick: each row a ratio; bench/results/ has the numbers ## Comparaciones rápidas: cada fila una razón; los números quedan en bench/results/
	@$(BIN)/python -m bench

bench-full: $(VENV)/.dev ## The same in full: more repetitions, a million records, Kafka and MongoDB ## Lo mismo completo: más repeticiones, un millón de registros, Kafka y MongoDB
	@$(BIN)/python -m bench --full

lock: $(VENV)/.dev ## Resolve pyproject.toml into requirements/ with hashes ## Resuelve pyproject.toml en requirements/ con hashes
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra audio --extra tracing --extra build -o requirements/audio.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra bot --extra tracing --extra build -c requirements/audio.txt \
		-o requirements/bot.txt
	@$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --extra audio --extra bot --extra tracing --extra build --extra dev \
		-c requirements/audio.txt -c requirements/bot.txt -o requirements/dev.txt
	@for group in emulators checkov; do \
		$(BIN)/uv pip compile --group "$$group" --quiet --universal --python-version 3.11 --generate-hashes \
			--no-header --no-annotate -o "requirements/$$group.txt" || exit 1; done
	@$(BIN)/uv pip compile --group lambda --quiet --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate -c requirements/audio.txt -o requirements/lambda.txt

.PHONY: docker-ready
docker-ready:
	@command -v docker >/dev/null || { $(SAY) \
		"Para esto hace falta Docker: https://docs.docker.com/engine/install/" \
		"Docker is needed for this: https://docs.docker.com/engine/install/"; exit 1; }
	@docker compose version >/dev/null 2>&1 || { $(SAY) \
		"Para esto hace falta el plugin Compose de Docker." "The Compose plugin of Docker is needed for this."; exit 1; }
	@docker info >/dev/null 2>&1 || { $(SAY) \
		"Docker no responde: ¿está andando, y tenés permiso?" "Docker does not answer: is it running, and may you use it?"; exit 1; }

clean: ## Remove the environment and, after a question, the data (YES=1: without) ## Borra el entorno y, después de preguntar, los datos (YES=1: sin preguntar)
	@scripts/clean.sh $(if $(YES),yes)

$(BIN)/python:
	@test -n "$(PYTHON)" || { $(SAY) "Hace falta Python 3.11 o más nuevo: instalalo, o decí PYTHON=/ruta/a/python3.11" \
		"Python 3.11 or newer is needed: install it, or say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		$(SAY) "Hace falta Python 3.11 o más nuevo; $(PYTHON) es $$($(PYTHON) -V). Decí PYTHON=/ruta/a/python3.11" \
		"Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Say PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		$(SAY) "python -m venv falló: en Debian y Ubuntu, apt install python3-venv" \
		"python -m venv failed: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/.run: requirements/audio.txt requirements/bot.txt | $(BIN)/python
	@$(SAY) "Instalo las dependencias en $(VENV), una sola vez: unos 431 MB, alrededor de un minuto." \
		"Installing the locked dependencies into $(VENV), once: about 431 MB, about a minute."
	@scripts/install.sh $(BIN)/python requirements/audio.txt requirements/bot.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@$(SAY) "Instalo las dependencias de desarrollo en $(VENV), una sola vez: unos 1,3 GB, varios minutos." \
		"Installing the locked development dependencies into $(VENV), once: about 1.3 GB, some minutes."
	@scripts/install.sh $(BIN)/python requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@ $(VENV)/.run
