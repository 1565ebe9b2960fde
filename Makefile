# make demo   see it work: set-up, the example testbed, a short load, a summary
# make test   set-up, lint, all tests
# make prove  try wholly what a test run samples (N=5: five times as much)
# The rest: setup lint bench schema api-docs fidelity wheel down clean

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup venv host demo down lint test prove bench schema api-docs fidelity wheel clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
TESTBED := $(SUDO) $(BIN)/testbed
# The tests are shared by processes, a file to each at a time: most of them wait for something.
SHARED := -n $(or $(WORKERS),$(shell expr 2 '*' $$(nproc))) --dist loadfile --no-loadscope-reorder
EXAMPLE := examples/serverless-vpc-access.yaml

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

setup: venv host

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed (make PYTHON=/path/to/python3.11).' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'Installing python3-venv ...'; $(SUDO) apt-get install -qq -y python3-venv >/dev/null; }
	@echo 'Installing the Python packages into $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

host: $(VENV)/.prepared

# What the host needs beyond Python: playbooks/host.yml.
$(VENV)/.prepared: $(VENV)/.installed $(wildcard playbooks/host.yml)
	@echo 'Preparing this host ...'
	@$(TESTBED) doctor --prepare
	@touch $@

demo: setup
	@$(TESTBED) up $(EXAMPLE)
	@$(TESTBED) load --users 20 --duration 20s
	@$(TESTBED) status

down: setup
	@$(TESTBED) down

lint: venv
	@echo 'ruff' && $(BIN)/ruff check -q && $(BIN)/ruff format -q --check
	@echo 'mypy' && $(BIN)/mypy --no-error-summary

test: setup lint
	@$(SUDO) $(BIN)/python -m pytest $(SHARED)

prove: setup
	@TESTBED_PROVE=$(or $(N),1) $(SUDO) $(BIN)/python -m pytest $(SHARED) -m sampled

api-docs: venv
	@TESTBED_API_DOCS=docs/api.md $(BIN)/python -m pytest -q tests/api tests/clients
	@echo 'docs/api.md'

fidelity: venv
	@$(BIN)/python -m tests.fidelity.page
	@echo 'docs/fidelity.md'

bench: setup
	@$(SUDO) $(BIN)/python -m tests.bench

schema: venv
	@$(BIN)/testbed schema > docs/topology.schema.json
	@echo 'docs/topology.schema.json'

wheel: venv
	@$(BIN)/python -m hatchling build >/dev/null
	@ls dist/*.whl

clean:
	@$(SUDO) rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@$(SUDO) find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
