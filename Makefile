# make demo   see it work: set-up, the example testbed, a short load, a summary
# make test   set-up, lint, all tests
# make prove  try wholly what a test run samples (N=5: five times as much)
# The rest: setup lint pythons bench schema api-docs fidelity errors wheel lock down clean

MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE  # what is installed is compiled when it is first imported, and not each time
.DEFAULT_GOAL := help
.PHONY: help setup venv host demo down lint test prove pythons bench schema api-docs fidelity errors wheel lock clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E)
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
LOCKS := locks
UV := $(BIN)/uv --quiet --system-certs
TESTBED := $(SUDO) $(BIN)/testbed
# The tests are shared by processes, a file to each at a time: one more than processors, as most of them also wait.
SHARED := -n $(or $(WORKERS),$(shell expr 1 + $$(nproc))) --dist loadfile --no-loadscope-reorder
EXAMPLE := examples/serverless-vpc-access.yaml

help:
	@sed -n '1,/^$$/s/^# //p' Makefile

setup: venv host

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml $(LOCKS)/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed (make PYTHON=/path/to/python3.11).' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'Installing python3-venv ...'; $(SUDO) apt-get install -qq -y python3-venv >/dev/null; }
	@echo 'Installing the Python packages into $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' $(LOCKS)/dev.txt | \
		$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r /dev/stdin
	@$(UV) pip sync --python $(BIN)/python --require-hashes $(LOCKS)/dev.txt
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation -e .
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

prove: setup pythons
	@TESTBED_PROVE=$(or $(N),1) $(SUDO) $(BIN)/python -m pytest $(SHARED) -m sampled

# pyenv's are all tried, whether they are active or not.
pythons: venv
	@PYENV_VERSION=$$(pyenv versions --bare 2>/dev/null | sort -rV | paste -sd:) $(BIN)/python -m nox -- $(SHARED)

api-docs: venv
	@TESTBED_API_DOCS=docs/api.md $(BIN)/python -m pytest -q tests/api tests/clients
	@echo 'docs/api.md'

fidelity: venv
	@$(BIN)/python -m tests.fidelity.page
	@echo 'docs/fidelity.md'

errors: venv
	@$(BIN)/python -m tests.unit.error_texts
	@echo 'tests/unit/errors.golden'

bench: setup
	@$(SUDO) $(BIN)/python -m tests.bench

schema: venv
	@$(BIN)/testbed schema > docs/topology.schema.json
	@echo 'docs/topology.schema.json'

# Locks what pyproject.toml and images/*/requirements.in ask for: versions and hashes.  What is locked already stays as it is,
# unless UPGRADE=1.  The images have one Python, Debian's; elsewhere every version of Python gets the same packages.
COMPILE := $(UV) pip compile --generate-hashes --python-version 3.11 --custom-compile-command 'make lock' \
	$(if $(UPGRADE),--upgrade)
EVERYWHERE := --universal --fork-strategy fewest

lock: venv
	@$(COMPILE) $(EVERYWHERE) --extra dev -o $(LOCKS)/dev.txt pyproject.toml
	@$(COMPILE) $(EVERYWHERE) -c $(LOCKS)/dev.txt -o $(LOCKS)/runtime.txt pyproject.toml
	@$(COMPILE) -c $(LOCKS)/dev.txt -o images/testbed.requirements.txt pyproject.toml
	@set -e; for folder in images/load images/runtime; do \
		$(COMPILE) -c $(LOCKS)/dev.txt -o $$folder/requirements.txt $$folder/requirements.in; done

wheel: venv
	@$(BIN)/python -m hatchling build >/dev/null
	@ls dist/*.whl

clean:
	@$(SUDO) rm -rf $(VENV) .nox build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@$(SUDO) find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
