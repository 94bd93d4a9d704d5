# Everything a newcomer needs; CI runs the same targets. `make` alone prints this help.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# The lock names everything, so pip has nothing to resolve (--no-deps): what it resolves differently
# from release to release, or when an index has something newer, cannot matter.
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check
# Extras stay with the names that are locked: a requirement with an extra is met only by such a line.
LOCK   := pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
          --no-strip-extras --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup run services demo test check format verify generate bench bench-peers dist lock clean

help: ## Print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with everything, from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Jobwire needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PIP) --require-hashes --no-deps -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@$(BIN)/pip --disable-pip-version-check check >/dev/null || $(BIN)/pip --disable-pip-version-check check >&2
	@touch $(STAMP)

run: $(STAMP) ## Start the service in the foreground
	$(BIN)/jobwire up

services: $(STAMP) ## Start a RabbitMQ and a MongoDB for development, in the foreground
	$(BIN)/python -m tests.support.services

demo: $(STAMP) ## Show the main job on real input; exits 0 only if every step was checked
	$(BIN)/python docs/demo/demo.py

test: $(STAMP) ## Run the whole test suite
	$(BIN)/pytest

check: $(STAMP) ## Format, lint, types, import rules, dependencies, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry actors schemas src
	$(BIN)/codespell

format: $(STAMP) ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generate: $(STAMP) ## Write the generated files: lifecycle drawings, settings, OpenAPI
	$(BIN)/python docs/generate.py

verify: $(STAMP) ## Fail when a generated file differs from its source
	$(BIN)/python docs/generate.py --check

bench: $(STAMP) ## Measure; figures and how to read them are in benchmarks/README.md
	$(BIN)/python -m benchmarks.run

bench-peers: $(STAMP) ## Measure Prefect and Celery beside it; see benchmarks/peers/README.md
	$(BIN)/python -m benchmarks.peers

dist: $(STAMP) ## Build jobwire, and jobwire-client, into dist/
	$(BIN)/python -m hatchling build --directory dist
	cd src/jobwire-client && ../../$(BIN)/python -m hatchling build --target wheel --directory ../../dist

lock: $(STAMP) ## Resolve the dependencies anew into requirements.lock
	$(BIN)/uv $(LOCK) --upgrade pyproject.toml -o requirements.lock

clean: ## Remove .venv, the peers of the benchmarks, and caches
	rm -rf $(VENV) .peers .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
