# Two commands do everything on a machine with Python 3.11 or 3.12, make and a package index: `make demo` and `make test`.
# Nothing is written outside this folder and MARQUEE_HOME.

SHELL := /bin/bash
.DEFAULT_GOAL := help

ARGS ?=
VENV ?= .venv
# The first Python that really runs and has a right version; another one: `make test PYTHON=/path/to/python3.12`.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit((3, 11) > sys.version_info[:2] or sys.version_info[:2] > (3, 12))' 2>/dev/null \
	&& { $$p -c 'import sys; print(sys.executable)'; break; }; done)
UV_VERSION := 0.13.9

# A uv of the machine is used where there is one; otherwise one is put into .tools. Either fills a cache in .tools, unless
# told of another: nothing outside is written, and files are linked into $(VENV) from the same file system.
UV := $(shell command -v uv 2>/dev/null)
ifeq ($(UV),)
UV := $(CURDIR)/.tools/uv/bin/uv
endif
export UV_CACHE_DIR ?= $(CURDIR)/.tools/uv-cache
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
export TZ := UTC

BIN := $(VENV)/bin
SYNC = $(UV) sync --frozen --quiet --python "$(PYTHON)" --extra platform
# Spark is half a gigabyte, and nothing without Java 17: tests of it are run where there is one, and skipped elsewhere.
SPARK = $(shell java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' && echo "--extra spark")

.PHONY: help demo test check lint format lock clean

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.demo ## Run the whole loop on a simulated service, then serve it (ARGS=--no-serve ends instead)
	@$(BIN)/marquee demo $(ARGS)

test: $(VENV)/.dev ## Run all tests
	@$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

check: $(VENV)/.dev lint test ## What CI holds every change to: lint, types, import contracts, tests

lint: $(VENV)/.dev ## Lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code in the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(UV) ## Resolve all dependencies anew into uv.lock
	@$(UV) lock --upgrade

clean: ## Remove what make brought (not MARQUEE_HOME)
	@rm -rf .tools $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.demo: pyproject.toml uv.lock | $(UV) python
	@echo "Setting up $(VENV) with $(PYTHON) (about 1 GB, once) ..."
	@$(SYNC) --no-dev --inexact
	@touch $@

$(VENV)/.dev: pyproject.toml uv.lock | $(UV) python
	@echo "Setting up $(VENV) with $(PYTHON) (about $(if $(SPARK),1.6,1) GB, once) ..."
	@$(SYNC) $(SPARK)
	@touch $@ $(VENV)/.demo

.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo "Marquee needs Python 3.11 or 3.12; name one with PYTHON=/path/to/python" >&2; exit 2; }

$(CURDIR)/.tools/uv/bin/uv: | python
	@echo "Bringing uv $(UV_VERSION) into .tools ..."
	@"$(PYTHON)" -m venv .tools/uv 2>/dev/null && .tools/uv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check uv==$(UV_VERSION) \
	|| "$(PYTHON)" -m pip install --quiet --no-cache-dir --disable-pip-version-check --target .tools/uv uv==$(UV_VERSION) \
	|| { echo "could not bring uv: $(PYTHON) has neither venv nor pip (Debian: apt install python3-venv)" >&2; exit 2; }
