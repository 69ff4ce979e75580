# `make demo` and `make test` are for everybody; the rest is for those who change the code.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# compiled modules make every later start faster
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check test-cluster lock clean

demo: $(READY) ## the article's story, live; needs root and, the first time, Go (see README)
	$(BIN)/coalmine demo --control-plane "$$($(BIN)/python -m coalmine_sandbox binaries)" $(ARGS)

test: $(READY) ## everything that needs neither root nor Go
	$(BIN)/pytest $(ARGS)

check: $(READY) ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-cluster: $(READY) ## everything on a real control plane, in namespaces of its own; needs root
	$(BIN)/python -m coalmine_sandbox binaries >/dev/null
	$(BIN)/python -m coalmine_sandbox.isolate -- $(BIN)/pytest tests/cluster --timeout=600 $(ARGS)

lock: ## write requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-header -o requirements.lock

clean: ## remove what the targets above made in the checkout
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Coalmine needs Python 3.11 or later; set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
