# `make demo` and `make test` are for everybody; the rest is for those who change the code.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
COMPILED := build/compiled
READY := $(VENV)/.ready
# compiled modules make every later start faster
export PYTHONDONTWRITEBYTECODE :=

# tests mostly wait: for probes, pauses, pods that end
WORKERS ?= 3
# control planes side by side
PARTS ?= 2

.PHONY: demo demo-real test test-compiled check binaries test-cluster test-node compiled bench bench-detectors bench-scale fuzz manifests monitoring recording lock clean

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
	$(BIN)/mypy -p manifests.generate -p monitoring
	$(BIN)/lint-imports

binaries: $(READY) ## Kubernetes' own control plane: found, or built once with Go into the user's cache
	$(BIN)/python -m coalmine_sandbox binaries

test-cluster: binaries ## the tests of the cluster on Kubernetes' own control plane, in namespaces; needs root
	$(BIN)/python tests/cluster/parts.py $(PARTS) $(ARGS)

test-node: binaries ## the story on one real node: kubelet, containerd, kube-proxy; needs root, says which packages it lacks
	$(BIN)/python tests/node/prepare.py
	$(BIN)/python -m coalmine_sandbox.isolate -- $(BIN)/pytest --timeout=900 tests/node $(ARGS)

compiled: $(READY) ## the sidecar's hot path as C, beside its source; needs a C compiler
	$(BIN)/python proxy/compile.py $(COMPILED)

test-compiled: compiled ## the sidecar's tests on the compiled modules
	PYTHONPATH=$(COMPILED) $(BIN)/pytest -n $(WORKERS) tests/unit/proxy tests/unit/proxy_conformance $(ARGS)

bench: compiled ## the sidecar beside nginx and HAProxy; needs those and wrk (Debian: nginx-light haproxy wrk)
	$(BIN)/python -m bench $(ARGS)

bench-detectors: $(READY) ## how soon a bad canary is found, and how often a good one is taken for bad; about ten minutes
	$(BIN)/python -m bench.detectors $(ARGS)

bench-scale: binaries ## how the controller grows, on Kubernetes' own control plane; needs root
	$(BIN)/python -m coalmine_sandbox.isolate -- $(BIN)/python -m bench.scale $(ARGS)

fuzz: $(READY) ## the proxy's parsers and relay, guided by coverage; needs atheris, which is not everywhere
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-fuzz.lock || \
		echo "atheris cannot be installed here: the fuzzers will say so and skip"
	set -e; for target in heads chunks relay; do $(BIN)/python tests/fuzz/fuzz_$$target.py $(ARGS) || test $$? = 77; done

manifests: $(READY) ## the kinds and the Helm chart, from their sources
	$(BIN)/python -m manifests.generate

monitoring: $(READY) ## dashboard, alert rules and their picture, from one source
	$(BIN)/python -m monitoring

recording: $(READY) ## the pictures of the README, from a real run
	$(BIN)/python docs/record docs/img/demo.svg --still docs/img/demo-still.svg --still-when "✖ Degraded" \
		--title "make demo" --speed 1.5 -- $(BIN)/coalmine demo --pace 4

lock: ## write the lock files anew from pyproject.toml
	uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	uv pip compile --group image --constraint requirements.lock --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements-image.lock
	uv pip compile --group fuzz --constraint requirements.lock --generate-hashes --no-emit-index-url --no-header -o requirements-fuzz.lock

clean: ## remove what the targets above made in the checkout
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Coalmine needs Python 3.11 or later; set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
