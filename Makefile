# `make` lists what there is. Options of a command go into ARGS: make demo ARGS="--help", make test ARGS="-k labels".

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Compiled modules make every start but the first one quick, whatever the caller's environment says.
export PYTHONDONTWRITEBYTECODE :=

# Packages come from wherever this machine's pip is told to look.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The first Python that fits; `PYTHON=/path/to/python make setup` takes another one.
$(BIN)/python:
	@for python in $${PYTHON:-python3.11 python3.12 python3}; do \
	  if "$$python" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
	  then echo "making $(VENV) with $$python"; exec "$$python" -m venv $(VENV); fi; \
	done; \
	echo "no Python 3.11 or 3.12 with venv found (on Debian: apt-get install python3 python3-venv)" >&2; exit 1

# What runs the product.
$(VENV)/.product: requirements.lock setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing fraudstream into $(VENV)"
	@$(PIP) --constraint requirements.lock setuptools wheel
	@PYTHONWARNINGS=ignore $(PIP) --constraint requirements.lock --no-build-isolation --editable '.[embedded]'
	@touch $@

# What tests and checks need beside it.
$(VENV)/.tools: $(VENV)/.product
	@echo "installing tools for tests and checks into $(VENV)"
	@$(PIP) --no-deps --requirement requirements.lock
	@touch $@

.PHONY: setup
setup: compile ## Make .venv with everything, and the command .venv/bin/fraudstream

.PHONY: compile
compile: $(VENV)/.tools ## Compile the hot modules of the core; without a C compiler they run as they are
	@$(BIN)/python -m fraudstream.compiled --optional

.PHONY: demo
demo: $(VENV)/.product ## Run the whole system here, with nothing else installed
	@$(BIN)/fraudstream demo $(ARGS)

.PHONY: services
services: $(VENV)/.tools # Fetch the programs behind real Kafka, MongoDB protocol and MariaDB
	@$(BIN)/python -m tests.services install

.PHONY: test
test: compile services ## Run the tests, on real Kafka, MongoDB protocol and MariaDB
	@$(BIN)/python -X fraudstream=plain -m pytest --quiet -m "not slow" tests/oracle/test_model_oracle.py tests/unit/test_prequential.py
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

.PHONY: test-slow
test-slow: $(VENV)/.tools services ## Run the long ones: whole days through kills, long outages, quality on history
	@$(BIN)/python -m pytest -m slow $(ARGS)

.PHONY: test-fast
test-fast: $(VENV)/.tools ## Run the tests that need no service and little time
	@$(BIN)/python -m pytest -m "not services and not adversity and not slow" $(ARGS)

.PHONY: check
check: $(VENV)/.tools ## Check style, types, import directions, and that documents agree with the code
	@status=0; set -x; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports || status=1; \
	$(BIN)/python -m pytest --quiet tests/repository || status=1; \
	{ set +x; } 2>/dev/null; exit $$status

.PHONY: format
format: $(VENV)/.tools ## Put the code into its one layout
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: up
up: services ## Start Kafka, MongoDB protocol and MariaDB in the background; tests then use them
	@$(BIN)/python -m tests.services up

.PHONY: down
down: $(VENV)/.tools ## Stop what `make up` started
	@$(BIN)/python -m tests.services down

.PHONY: bench
bench: services ## Measure throughput on real services; ARGS="latency --rate 1000" measures latency
	@$(BIN)/python -m benchmarks.stream $(or $(ARGS),throughput)

.PHONY: schemas
schemas: $(VENV)/.tools ## Write what is made from the code: reference pages, JSON schemas, .env.example
	@for page in settings metrics topics cli features; do $(BIN)/fraudstream reference $$page --into docs/$$page.md; done
	@$(BIN)/python -m fraudstream.core.schemas docs
	@$(BIN)/python -m tests.repository.example_environment > .env.example

.PHONY: lock
lock: ## Resolve the newest allowed packages into requirements.lock
	@rm -rf $(VENV)-lock
	@$(MAKE) --no-print-directory VENV=$(VENV)-lock $(VENV)-lock/bin/python
	@$(VENV)-lock/bin/python -m pip --disable-pip-version-check install --quiet '.[embedded,test,check]' setuptools wheel
	@{ sed -n '/^#/p' requirements.lock; $(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude fraudstream \
	  | sed 's/^uvloop==.*/& ; sys_platform != "win32"/'; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@rm -rf $(VENV)-lock

.PHONY: clean
clean: down ## Stop background services and remove everything that was made here
	@rm -rf $(VENV) .services .demo .fraudstream .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -rf build dist ./*.egg-info .coverage fraudstream/core/_compiled
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
