# Linli: everything from a bare python3.11 (or newer), git and make. `make help` lists the verbs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The first that runs and is new enough; a name on PATH may be a shim with nothing behind it.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do \
  "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
VENV := .venv
BIN := $(VENV)/bin
export UV_SYSTEM_CERTS := 1
export UV_LINK_MODE := copy
export PYTHONUTF8 := 1
# Two processes at once: the suite starts a PostgreSQL and a Valkey in each.
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest

.PHONY: help setup setup-run clients run test check fix schema bench lock clean

help: ## List these verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/uv: requirements/bootstrap.txt
	@test -n "$(PYTHON)" || { echo "Linli needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

# What running needs; a development install has it too.
$(VENV)/.run: $(BIN)/uv requirements/run.txt pyproject.toml
	@test -e $(VENV)/.dev || $(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/run.txt
	@test -e $(VENV)/.dev || $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/uv requirements/dev.txt pyproject.toml
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.run $@

# What npm brings for tests/clients, by the Node of the development group; git ignores it.
CLIENTS := tests/clients
$(CLIENTS)/node_modules/.stamp: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json | $(VENV)/.dev
	$(BIN)/python -m tests.clients.install
	@touch $@

clients: $(CLIENTS)/node_modules/.stamp

setup: $(VENV)/.dev clients ## Install everything, tools for development included

setup-run: $(VENV)/.run

run: $(VENV)/.run ## Start everything: stores, migrations, demo, API, workers
	@exec $(BIN)/linli up

test: $(VENV)/.dev ## Run every test
	$(PYTEST) -n $(JOBS) --dist loadgroup tests --ignore=$(CLIENTS) -m "not flow and not chaos"
	$(PYTEST) app ml simulation workers cli --doctest-modules -q
	@$(MAKE) --no-print-directory clients
	$(PYTEST) $(CLIENTS)
	$(PYTEST) tests --ignore=$(CLIENTS) -m flow
	$(PYTEST) tests/chaos

check: $(VENV)/.dev ## Lint, types, imports, schema snapshot, migrations, links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright
	$(BIN)/linli schema export --check schema.graphql
	$(BIN)/python -m tests.checks
	@$(MAKE) --no-print-directory clients
	$(BIN)/python -m tests.clients.lint

fix: $(VENV)/.dev ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/.dev ## Write schema.graphql
	$(BIN)/linli schema export --output schema.graphql

bench: $(VENV)/.dev ## Run the benchmarks that docs/benchmarks.md quotes
	$(BIN)/python -m bench

lock: $(BIN)/uv ## Resolve the dependencies anew, with hashes and without addresses
	$(BIN)/uv lock --quiet --upgrade
	$(BIN)/uv export --quiet --no-emit-project --no-annotate --no-dev --group build -o requirements/run.txt
	$(BIN)/uv export --quiet --no-emit-project --no-annotate --no-dev --group build --extra dask -o requirements/dask.txt
	$(BIN)/uv export --quiet --no-emit-project --no-annotate -o requirements/dev.txt
	printf 'uv==%s\n' "$$($(BIN)/uv --version | cut -d' ' -f2)" | \
	  $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header - > requirements/bootstrap.txt

clean: ## Remove the environment and the demo's data
	rm -rf $(VENV) .linli $(CLIENTS)/node_modules
