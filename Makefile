# `make demo` and `make test` are for everybody; the rest is for those who change the code.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# compiled modules make every later start faster
export PYTHONDONTWRITEBYTECODE :=

# tests mostly wait: for probes, pauses, pods that end
WORKERS ?= 3

.PHONY: demo demo-real test check binaries test-cluster recording lock clean

demo: $(READY) ## the article's story, live, on a small Kubernetes of its own
	@$(BIN)/coalmine demo $(ARGS)

demo-real: $(READY) ## the same on Kubernetes' own control plane; needs root and, the first time, Go
	@$(BIN)/coalmine demo --control-plane "$$($(BIN)/python -m coalmine_sandbox binaries)" $(ARGS)

test: $(READY) ## all tests, those of the cluster on the sandbox; needs neither root nor Go
	$(BIN)/python -m coalmine_sandbox.keep -- $(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

check: $(READY) ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

binaries: $(READY) ## Kubernetes' own control plane: found, or built once with Go into the user's cache
	$(BIN)/python -m coalmine_sandbox binaries

test-cluster: binaries ## the tests of the cluster on Kubernetes' own control plane, in namespaces; needs root
	$(BIN)/python -m coalmine_sandbox.isolate -- $(BIN)/pytest tests/cluster --control-plane=real --timeout=600 $(ARGS)

recording: $(READY) ## the pictures of the README, from a real run
	$(BIN)/python docs/record docs/img/demo.svg --still docs/img/demo-still.svg --still-when "✖ Degraded" \
		--title "make demo" --speed 1.5 -- $(BIN)/coalmine demo --pace 4

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
