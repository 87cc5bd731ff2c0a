# Everything a developer and CI run. Python 3.11+ and make are all it needs; see README.md.

PYTHON ?= python3
# For what make test-peers installs: some of it needs Python 3.12.
PEERS_PYTHON ?= $(PYTHON)
# The model that make test-peers runs: smollm2, 125 MB; qwen, which takes 1.1 GB and a quarter of an hour; or no.
AI_PEER_MODEL ?= smollm2
MODEL_FOLDERS = $(if $(filter-out no,$(AI_PEER_MODEL)),models) $(filter qwen,$(AI_PEER_MODEL))
export AI_PEER_MODEL
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
NPM := $(shell command -v npm 2>/dev/null)
# Starts PostgreSQL for the command behind it, unless DATABASE_URL names one.
WITH_POSTGRES := $(BIN)/python -m scripts.postgres

# Tests wait about as long as they work: twice as many processes as there are cores.
TEST_PROCESSES = $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 2)))

# Without compiled modules every start of Python compiles them anew: 3.1 s instead of 1.2 s for the service.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test test-peers chaos bench coverage migrate rollback migration psql domain seed verify ledger-key check audit format lock openapi vendor up down

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/installed ## build the environment: tools, virtual environment, locked dependencies

$(UV):
	@echo "setup: installing uv $(UV_VERSION) into .tools" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "setup: Python 3.11 or newer is needed; name one with PYTHON=...")'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target .tools uv==$(UV_VERSION) >&2

.venv/installed: requirements/dev.txt | $(UV)
	@echo "setup: installing the locked dependencies into .venv" >&2
	@test -x $(BIN)/python || $(UV) venv --quiet --no-python-downloads --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --require-hashes --python $(BIN)/python requirements/dev.txt
	@touch $@

run: migrate ## set everything up and serve; HOST, PORT, WORKERS and DATABASE_URL are honoured
	@$(WITH_POSTGRES) $(BIN)/python -m src

migrate: setup ## bring the database to the newest revision
	@$(WITH_POSTGRES) $(BIN)/alembic upgrade head

rollback: setup ## take one revision back; what a table holds is kept
	@$(WITH_POSTGRES) $(BIN)/alembic downgrade -1

# It is the difference to the newest revision, so that one has to be applied.
migration: $(if $(m),migrate,setup) ## write a new revision: make migration m="add invoice"
	@test -n "$(m)" || { echo 'usage: make migration m="what it does"' >&2; exit 2; }
	@$(WITH_POSTGRES) $(BIN)/alembic revision --autogenerate --message "$(m)"

# Ctrl-C cancels a query: psql gets the SIGINT itself, and ignores the SIGTERM that the launcher makes of it.
psql: setup ## open the database in psql: the private one, or that of DATABASE_URL
	@PATH="$$($(BIN)/python -c 'from scripts.postgres import find_binaries; print(find_binaries())'):$$PATH" \
		$(WITH_POSTGRES) sh -c 'trap "" TERM; exec psql "$$(printf %s "$$DATABASE_URL" | sed "s/+asyncpg//")"'

# Only the command line counts, and as it was given: neither make nor the shell expands it.
as_given = $(if $(filter command,$(origin $(1))),$(value $(1)))
unexport name singular origin rows
domain: export DOMAIN_NAME := $(call as_given,name)
domain: export DOMAIN_SINGULAR := $(call as_given,singular)
domain: setup ## write a new domain: make domain name=invoices [singular=invoice]
	@$(BIN)/python -m scripts.domain "$$DOMAIN_NAME" "$$DOMAIN_SINGULAR"

seed: export SEED_ROWS := $(call as_given,rows)
seed: setup ## fill the trail with 90 days of a small company, to try things: make seed [rows=100000]
	@$(WITH_POSTGRES) $(BIN)/python -m scripts.seed $${SEED_ROWS:+-- "$$SEED_ROWS"}

verify: export VERIFY_SINCE := $(value SINCE)
verify: export VERIFY_KEY := $(value KEY)
verify: setup ## recompute every hash and chain of the audit trail, and its ledger; SINCE=FILE [ALL=yes] [KEY=...] adds a checkpoint kept outside
	@$(WITH_POSTGRES) $(BIN)/python -m src.ledger.verify $(if $(value SINCE),--since "$$VERIFY_SINCE") \
		$(if $(filter-out no,$(value ALL)),--all) $(if $(value KEY),--key "$$VERIFY_KEY")

ledger-key: export LEDGER_KEY_ORIGIN := $(call as_given,origin)
ledger-key: setup ## make a key that signs the ledger: make ledger-key origin=audit.example.org/trail [mldsa=yes]
	@$(BIN)/python -m src.ledger key "$$LEDGER_KEY_ORIGIN" $(if $(filter-out no,$(call as_given,mldsa)),mldsa)

test: setup ## run the tests on a database of their own; T=tests/audits picks some
	@$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=worksteal $(T)

test-peers: setup tests/peers/.venv/installed $(if $(NPM),tests/peers/node_modules/installed) $(MODEL_FOLDERS:%=.tools/%/installed) ## run the service beside what others wrote; most of it needs Node, and is skipped where that is missing
	@$(if $(NPM),,echo "test-peers: Node 20 or newer is not there (https://nodejs.org): what needs it is skipped" >&2)
	@$(BIN)/python -m pytest -m peers $(or $(T),tests/peers)

tests/peers/.venv/installed: requirements/peers.txt | $(UV)
	@echo "test-peers: installing the locked Python packages into $(@D)" >&2
	@test -x $(@D)/bin/python || $(UV) venv --quiet --no-python-downloads --python $(PEERS_PYTHON) $(@D)
	@$(UV) pip sync --quiet --require-hashes --python $(@D)/bin/python requirements/peers.txt
	@touch $@

.tools/models/installed .tools/qwen/installed: .tools/%/installed: requirements/%.txt | $(UV)
	@echo "test-peers: installing a model into $(@D); AI_PEER_MODEL=no leaves it out" >&2
	@test -x $(@D)/bin/python || $(UV) venv --quiet --no-python-downloads --python $(PYTHON) $(@D)
	@$(UV) pip sync --quiet --require-hashes --python $(@D)/bin/python requirements/$*.txt
	@touch $@

tests/peers/node_modules/installed: tests/peers/package-lock.json
	@echo "test-peers: installing the locked Node packages into $(@D)" >&2
	@npm ci --prefix tests/peers --ignore-scripts --no-audit --no-fund --loglevel error >&2
	@touch $@

chaos: setup .tools/chaos/installed ## load, faults and floods against the service as it is deployed; takes some ten minutes
	@$(BIN)/python -m pytest -s --timeout=900 $(or $(T),tests/chaos)

.tools/chaos/installed: requirements/chaos.txt | $(UV)
	@echo "setup: installing Schemathesis into .tools/chaos" >&2
	@test -x .tools/chaos/bin/python || $(UV) venv --quiet --no-python-downloads --python $(PYTHON) .tools/chaos
	@$(UV) pip sync --quiet --require-hashes --python .tools/chaos/bin/python requirements/chaos.txt
	@touch $@

bench: setup ## measure beside bare asyncpg, an earlier build and Fastify; ROWS=1000000 adds lists of so many records, PARTS=yes each part of the fast path, EXPLORER=only the explorer beside sqladmin
	@$(BIN)/python -m tests.benchmarks

coverage: setup ## run the tests and say which lines of src they do not reach
	@$(BIN)/coverage run -m pytest $(T)
	@$(BIN)/coverage report

check: setup ## format, lint, types, contracts, and that locks, migrations and OpenAPI are in step
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m scripts.lock --check
	@$(BIN)/python -m scripts.openapi --check
	@$(BIN)/openapi-spec-validator --validation-errors all tests/openapi.json
	@$(BIN)/python -m scripts.check_migrations
	@$(BIN)/python -m scripts.vendor --check

audit: .tools/prod/installed setup ## list the licences, and look for known vulnerabilities, of all that an image carries
	@$(BIN)/python -m scripts.audit .tools/prod/lib/python*/site-packages

.tools/prod/installed: requirements/prod.txt | $(UV)
	@test -x .tools/prod/bin/python || $(UV) venv --quiet --no-python-downloads --python $(PYTHON) .tools/prod
	@$(UV) pip sync --quiet --require-hashes --python .tools/prod/bin/python requirements/prod.txt
	@touch $@

format: setup ## rewrite the code in the project's format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: setup ## rebuild requirements/ from pyproject.toml with today's versions
	@$(BIN)/python -m scripts.lock

openapi: setup ## rebuild tests/openapi.json, the contract as served
	@$(BIN)/python -m scripts.openapi

vendor: setup ## bring the libraries of the explorer's page anew, as src/web/explorer/vendor/package-lock.json says; needs npm
	@$(BIN)/python -m scripts.vendor

up: ## build the image and start it with PostgreSQL (docker compose); a password is made and kept in .env
	@test -n "$$POSTGRES_PASSWORD" || grep -qs '^POSTGRES_PASSWORD=.' .env || (umask 077; \
		$(PYTHON) -c 'import secrets; print(f"\nPOSTGRES_PASSWORD={secrets.token_hex(24)}")' >> .env)
	docker compose up --build --detach --wait

down: ## stop what `make up` started; the data stays
	docker compose down
