# What each target does: `make help`. Everything is safe to run twice.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv/bin
S ?= dev
# Tests must fail on an Output that is used like a plain value, not put its warning text into a container.
export PULUMI_ERROR_OUTPUT_STRING := 1

.PHONY: help up ask down clean lab lab-down plan models eval venv check test release bench-dev bench-app bench-gateway lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## add what is missing on this machine, bring up stack dev, ask it one question
	@$(PYTHON) -m quickstart up

ask: ## ask the running stack: make ask DOC=samples/warehouse-lease.pdf Q="How much is the rent per month?"
	@test -n "$(DOC)" -a -n "$(Q)" || { echo 'usage: make ask DOC=file.pdf Q="question" [S=dev]' >&2; exit 2; }
	@$(PYTHON) -m quickstart env > /dev/null && $(VENV)/python -m operate.ask --stack $(S) "$(DOC)" "$(Q)"

plan: ## what a stack needs on its cards, before anything runs: make plan S=rtx5090
	@$(PYTHON) -m quickstart venv && $(VENV)/python -m planning $(S)

models: ## weights that a stack's host keeps: make models S=dev; PRUNE=1 removes those that are not in use
	@$(PYTHON) -m quickstart env > /dev/null && $(VENV)/python -m operate.models --stack $(S) $(if $(PRUNE),--prune)

eval: ## how well the running stack answers: 72 questions to the samples, three ways: make eval [S=dev]
	@$(PYTHON) -m quickstart env > /dev/null && $(VENV)/python -m operate.eval --stack $(S) $(if $(WRITE),--write)

down: ## destroy stack dev with its documents; the weights stay
	@$(PYTHON) -m quickstart down

clean: ## remove everything that was ever made: stacks, weights, lab, caches; asks before documents go: make clean [YES=1]
	@$(PYTHON) -m quickstart clean $(if $(YES),--yes)

lab: ## start the simulated GPU host: engine, registry, images, model hub
	@$(PYTHON) -m lab up

lab-down: ## stop it
	@$(PYTHON) -m lab down

venv: ## the Python environment alone
	@$(PYTHON) -m quickstart venv

check: ## format, lint, types and unit tests; make check A=app for the app's alone
	@$(PYTHON) -m devtools check $(if $(A),--area $(A))

test: ## all tests; make test A=gateway for one area (A=help lists them), make test CHANGED=1 for what a change touches
	@$(PYTHON) -m devtools test $(if $(A),--area $(A)) $(if $(CHANGED),--changed)

release: ## the release checklist: what is met, and the command for what is not
	@$(PYTHON) -m devtools release

bench-dev: ## measure: no-op runs, time to ready, the gateway's latency; writes docs/bench-dev.md
	@$(PYTHON) -m quickstart env > /dev/null && $(VENV)/python -m bench.dev

bench-app: ## measure: indexing and asking against the library called bare, many people; writes docs/bench-app.md
	@$(PYTHON) -m quickstart env > /dev/null && $(VENV)/python -m bench.app --stack $(S)

bench-gateway: ## measure: this gateway beside other proxies before one backend; writes docs/bench-gateway.md
	@$(PYTHON) -m quickstart env > /dev/null && $(VENV)/python -m bench.gateway

lock: venv ## write the hash-locked requirements files anew from their *.in
	for in in requirements.in services/*/requirements.in services/*/requirements-test.in; do \
		$(VENV)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links -o $${in%.in}.txt $$in || exit 1; done
