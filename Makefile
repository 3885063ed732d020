# Everything here works from a fresh clone; a machine needs Python 3.11 or newer with pip, make and git.
# Go, a C compiler and uv come from PyPI where there are none.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv

# Tests start hundreds of Pythons; without kept bytecode each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

READY := .venv/.ready
PYTEST := python -m pytest --quiet --no-header

##@ See it

.PHONY: demo
demo: $(READY) ## Run the live demo: 52 servers share a power budget for 40; report in build/demo
	@demos/power/demo.sh

.PHONY: cluster-up cluster-down cluster-status
cluster-up: $(READY) ## Start a Kubernetes cluster on this machine that runs pods, with GPUS=8 fake GPUs; needs root
	@python -m testbed.cluster prepare && python -m testbed.cluster up --depth node --gpus $(or $(GPUS),8)

cluster-down: $(READY) ## Stop that cluster, and remove all of it
	@python -m testbed.cluster down

cluster-status: $(READY) ## List which programs are built and which clusters are up
	@python -m testbed.cluster status

.PHONY: demo-serve
demo-serve: $(READY) parts ## Run the serving demo on a real node: helm install, one manifest, tokens from separate prefill and decode
	@python -m demos.serving.demonstrations

##@ Install it

.PHONY: images
images: $(READY) ## Build the image of operator and agent as IMAGE=registry/name:tag, by docker, podman or buildah
	@hack/images.sh build

.PHONY: push
push: $(READY) ## Push IMAGE to its registry
	@hack/images.sh push

##@ Check it

.PHONY: check
check: $(READY) ## Run style, types, layers, unit and component tests, three at a time; takes about a minute
	@$(MAKE) --jobs=3 --keep-going --output-sync=target components units types imports style \
	  && echo "make check: all is well"

.PHONY: test
test: check ## Run check, then test-cluster, test-node and test-engine
	@$(MAKE) --jobs=1 test-cluster test-node test-engine

.PHONY: test-cluster test-node test-engine
test-cluster: $(READY) programs ## Run tests on a real API server, and slow tests, two at a time; builds Kubernetes' programs once
	@echo "== control plane: tests, and slow ones" && $(PYTEST) --numprocesses=2 --dist=loadfile \
	    -m "(cluster or slow) and not node and not engine"

test-node: $(READY) programs parts ## Run tests whose pods run on a node on this machine; needs root
	@echo "== a node: tests whose pods run" && $(PYTEST) -m "node and not engine"

test-engine: $(READY) programs parts ## Run tests on a real vLLM on this machine's CPU; installs vLLM once; some need root
	@echo "== engines" && python -m testbed.engines ensure >/dev/null && $(PYTEST) -m engine

.PHONY: programs parts
programs: $(READY) # the control plane's programs: built once a machine
	@echo "== programs" && python -m testbed.cluster build >/dev/null

parts: $(READY) # what a node needs of the distribution; without root its tests are skipped, aloud
	@if [[ $$(id -u) == 0 ]]; then python -m testbed.cluster prepare; fi

.PHONY: lint
lint: $(READY) ## Run style, types and layers, without tests
	@$(MAKE) --jobs=2 --keep-going --output-sync=target types imports style

.PHONY: style types imports units components
style: $(READY)
	@echo "== style (ruff)" && status=0; \
	  ruff check --quiet . || status=1; \
	  ruff format --check --quiet . || { echo 'hint: run `make format`'; status=1; }; \
	  exit $$status

types: $(READY)
	@echo "== types (mypy)" && mypy --no-error-summary

imports: $(READY)
	@echo "== layers (import-linter)" && lint-imports --no-logo

units: $(READY)
	@echo "== unit tests" && $(PYTEST) -m "not slow" tests/unit

components: $(READY)
	@echo "== component tests" && $(PYTEST) -m "not slow and not node and not cluster and not engine" tests/component tests/pains

##@ Measure it

.PHONY: bench-admission bench-agent bench-demo bench-documents bench-experts bench-experts-ep bench-gpu bench-kv bench-operator bench-operator-plans \
  bench-reaction bench-safety bench-safety-live bench-serving bench-simulator bench-truth bench-wire mutants
bench-serving: $(READY) parts ## Measure serving on real pods: prefill and decode apart, requests lost in a rollout, scaling to zero
	@python -m benchmarks.serving

bench-safety: $(READY) ## Simulate random and adversarial faults in rows, and look for a broken promise; resumes; run `make mutants` first
	@python -m benchmarks.safety

bench-safety-live: $(READY) ## Attack rows of real agents for 20 min; check their true heat and every statement of their statuses
	@python -m testbed.cluster build >/dev/null && python -m benchmarks.safety_live

bench-simulator: $(READY) ## Simulate 8,502 requests on 51 servers, and a million, compared with splitwise-sim; PEER=checkout runs it too
	@python -m benchmarks.simulator $(if $(PEER),--peer $(PEER)) $(if $(PEER_PYTHON),--peer-python $(PEER_PYTHON))

bench-engine-error: $(READY) ## Compare the simulator with vLLM on this machine under loads it wasn't fitted on; resumes
	@python -m benchmarks.engine_error

mutants: $(READY) ## Break safety-relevant lines one at a time, and check that a test fails for each
	@python -m benchmarks.mutants

bench-agent: $(READY) ## Measure what an agent and its guard cost a node, compared with a bare loop over pynvml
	@python -m benchmarks.agent

bench-wire: $(READY) ## Let one member send arbitrary reports, and measure the effect on its row
	@python -m benchmarks.wire

bench-reaction: $(READY) ## Measure how fast rows of 52 and of 1,024 nodes react to an overload, and what their coordinator costs
	@python -m testbed.cluster build >/dev/null && python -m benchmarks.reaction

bench-truth: $(READY) ## Check that statuses are true and replica counts stay, under odd manifests and known bugs of other operators; 20 min
	@python -m testbed.cluster build >/dev/null && python -m benchmarks.truth

bench-demo: $(READY) ## Run the live demo without a terminal; writes benchmarks/results/demo.json
	@python -m testbed.cluster build >/dev/null && python -m benchmarks.demo

bench-documents: $(READY) ## Measure what parsing the worst policy documents costs, and whether one ends a process
	@python -m benchmarks.documents

bench-experts: $(READY) ## Compare capacity-aware experts with a reference on random batches, and time their sort; needs the engine
	@python -m benchmarks.experts

bench-experts-ep: $(READY) ## Time the steps of expert-parallel ranks on real routing, with experts placed and bounded; needs the engine and idle cores
	@python -m benchmarks.experts_ep

bench-gpu: $(READY) ## Read a real GPU: the cost of sampling it, and its watts by phase; sets nothing; needs torch
	@status=0; python -m benchmarks.gpus.sampling || status=$$?; python -m benchmarks.gpus.phases || status=$$?; exit $$status

bench-admission: $(READY) ## Compare vLLM's admission with that by predicted memory, in simulated time; resumes; 15 min; needs the engine
	@python -m benchmarks.admission

bench-kv: $(READY) ## Measure what bounding KV memory changes in a real vLLM: tokens, memory, recall, a step's time; resumes; 15 min; needs the engine
	@python -m benchmarks.kv

bench-operator: $(READY) ## Measure what 200 services cost the operator, compared with kopf alone, and how fast it reconciles
	@python -m testbed.cluster build >/dev/null && python -m benchmarks.operator

bench-operator-plans: $(READY) ## Measure what the change of one node costs an operator with a thousand domains
	@python -m benchmarks.operator_plans

##@ Work on it

.PHONY: format
format: $(READY) ## Sort imports and format the code
	@ruff check --select I --fix --quiet . && ruff format --quiet .

.PHONY: generate
generate: $(READY) ## Generate CRDs, the chart's tables, docs/reference and docs/results.md from the code and the results
	@python -m testbed.charts && python -m reference_pages && python -m benchmarks.results_page

.PHONY: engine-options
engine-options: $(READY) ## Read the pinned engine's options into the API's table of them; needs the engine of `make test-engine`
	@python -m testbed.engines options && $(MAKE) generate

.PHONY: lock
lock: $(READY) ## Resolve pyproject.toml into requirements/, pinned and hashed; UPGRADE=1 for the newest
	@hack/lock.sh

.PHONY: clean
clean: ## Remove generated files from the checkout; keeps the cache of built programs
	@rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## List all targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z-]*:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements/dev.txt pyproject.toml hack/bootstrap.sh
	@hack/bootstrap.sh
