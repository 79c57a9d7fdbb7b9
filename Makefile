# `make` lists what there is. Every target does its own set-up first.

.DEFAULT_GOAL := help
BIN := .venv/bin
TWO_AT_A_TIME := --numprocesses 2 --dist loadfile # a file's tests share its servers
# Those in which nothing depends on how fast the machine is; one after the other, as they need it for themselves.
FAULTS_THAT_FIT := $(patsubst %,tests/faults/test_%.py,controls crash_points duplicates last_ticket payments)
# Of the shops that run from here, that of `make up` before that of `make nomad-dev`.
SHOP = $(patsubst %/system.json,%,$(firstword $(wildcard .ticketflow/system.json .ticketflow-nomad/system.json)))
OF_SHOP = $(if $(SHOP),--state $(SHOP))
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: setup ## run the whole shop on this machine (INSTANCES=2: of each service, up to 4); Ctrl-C stops it
	@exec $(BIN)/python -m services.apphost up $(if $(INSTANCES),--instances $(INSTANCES))

.PHONY: test
test: setup-tests ## run all tests but the longer ones of faults, beside a running shop if need be
	@$(BIN)/python -m pytest $(TWO_AT_A_TIME) -m "not faults"
	@$(MAKE) --no-print-directory test-faults-quick

.PHONY: test-unit
test-unit: setup-tests ## run the tests that do not start the whole system
	@$(BIN)/python -m pytest $(TWO_AT_A_TIME) -m "not integration and not e2e and not faults"

.PHONY: test-integration
test-integration: setup-tests ## run the tests that drive the whole system
	@$(BIN)/python -m pytest -m integration

.PHONY: test-e2e
test-e2e: setup-tests ## run the tests that buy tickets in Chromium
	@$(BIN)/python -m pytest -m e2e

.PHONY: test-faults-quick
test-faults-quick: setup-tests ## run the tests of faults in which no clock counts
	@$(BIN)/python -m pytest $(FAULTS_THAT_FIT) -m "not slow"

.PHONY: test-faults
test-faults: setup-tests ## kill, freeze and cut every part, and close the books after each (ARGS='-m "faults and not slow"')
	@$(BIN)/python -m pytest $(or $(ARGS),-m faults)

.PHONY: check
check: setup ## check format, lint, types, imports, generated code, known vulnerabilities
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not in the one format: run \`make format\`."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@scripts/check_imports.sh
	@scripts/check_generated.sh
	@! command -v terraform >/dev/null || scripts/check_terraform.sh
	@$(BIN)/python scripts/audit.py

.PHONY: format
format: setup ## rewrite the sources in the one format
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: proto
proto: setup ## regenerate the Python of protos/*.proto
	@scripts/generate.sh .

.PHONY: docs
docs: setup ## write the settings tables into README.md
	@$(BIN)/python -m scripts.settings_table

.PHONY: lock
lock: setup ## compile pyproject.toml into requirements.lock
	@uv pip compile pyproject.toml --group dev --generate-hashes --no-header --universal --quiet -o requirements.lock

.PHONY: dist
dist: setup ## build one self-contained file per service: RELEASE=1.2.3 (SERVICES="ordering mailbox")
	@$(BIN)/python -m scripts.dist "$(RELEASE)" $(SERVICES)

.PHONY: deploy
deploy: setup ## run a release on a Nomad cluster: ENVIRONMENT=prod RELEASE=1.2.3 (JOBS="ordering gateway")
	@nomad/deploy.sh $(ENVIRONMENT) $(RELEASE) $(JOBS)

.PHONY: nomad-dev
nomad-dev: RELEASE ?= dev
nomad-dev: on-nomad setup-nomad dist ## run the whole shop on Nomad and Consul, which must be on PATH; Ctrl-C stops it (CLIENTS=2)
	@exec $(BIN)/python -m nomad.dev --release $(RELEASE) $(if $(CLIENTS),--clients $(CLIENTS))

.PHONY: on-nomad
on-nomad: # before minutes go into building for it
	@command -v nomad >/dev/null || { echo "nomad is not on PATH. Install Nomad (1.1 or newer)."; exit 2; }

.PHONY: test-nomad
test-nomad: setup-nomad setup-tests ## run the tests that need a real Nomad (half an hour)
	@$(BIN)/python -m pytest -rP tests/nomad/test_live_nomad.py

.PHONY: bench
bench: setup-bench ## measure speed and memory, beside their yardsticks
	@$(BIN)/python -m tests.bench

.PHONY: audit
audit: setup ## close the books of the running shop: tickets, orders, money, events, mails
	@$(BIN)/python -m services.apphost $(OF_SHOP) audit

.PHONY: rush
rush: setup ## let a crowd storm one concert (BUYERS=500 TICKETS=100 SEED=… CHAOS=1), then close the books
	@$(BIN)/python -m services.apphost $(OF_SHOP) rush $(if $(BUYERS),--buyers $(BUYERS)) $(if $(TICKETS),--tickets $(TICKETS)) $(if $(SEED),--seed $(SEED)) $(if $(CHAOS),--chaos)

.PHONY: setup
setup: ## only set up: Debian packages, .venv, consul
	@PYTHON="$(PYTHON)" scripts/setup.sh

.PHONY: setup-tests
setup-tests:
	@PYTHON="$(PYTHON)" scripts/setup.sh --tests

.PHONY: setup-nomad
setup-nomad:
	@PYTHON="$(PYTHON)" scripts/setup.sh --nomad

.PHONY: setup-bench
setup-bench:
	@PYTHON="$(PYTHON)" scripts/setup.sh --bench

.PHONY: reset
reset: ## throw away the shop's data: the next `make up` opens an empty one
	@mkdir -p .ticketflow
	@flock --nonblock .ticketflow/lock true || { echo "The shop runs: stop it first."; exit 2; }
	@cd .ticketflow && rm -rf consul-data logs mail payments.db* postgres rabbitmq redis rush secrets.json telemetry.db*

.PHONY: clean
clean: ## remove what the tools made: .venv and caches; the shop's data and dist/ stay
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find consul nomad protos scripts services tests -name __pycache__ -type d -prune -exec rm -rf {} +
