# Everything a developer and CI run. Python 3.11+ and make are all it needs; see README.md.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
# Starts PostgreSQL for the command behind it, unless DATABASE_URL names one.
WITH_POSTGRES := $(BIN)/python -m scripts.postgres

# Without compiled modules every start of Python compiles them anew: 3.1 s instead of 1.2 s for the service.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test test-peers bench coverage migrate rollback migration verify check format lock openapi up down

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

migration: setup ## write a new revision: make migration m="add invoice"
	@test -n "$(m)" || { echo 'usage: make migration m="what it does"' >&2; exit 2; }
	@$(WITH_POSTGRES) $(BIN)/alembic revision --autogenerate --message "$(m)"

verify: setup ## recompute every hash and chain of the audit trail
	@$(WITH_POSTGRES) $(BIN)/python -m src.audits.verify

test: setup ## run the tests on a database of their own; T=tests/audits picks some
	@$(BIN)/python -m pytest --numprocesses=auto $(T)

test-peers: setup ## run the service beside what others wrote; needs Node, and says so where it is missing
	@if command -v npm > /dev/null; then npm ci --prefix tests/peers --no-audit --no-fund --loglevel=error; \
	else echo 'test-peers: Node 20 or newer is not there (https://nodejs.org); what needs it is skipped' >&2; fi
	@$(BIN)/python -m pytest -m peers tests/peers

bench: setup ## measure beside bare asyncpg; ROWS=1000000 adds lists of so many records
	@$(BIN)/python -m tests.benchmarks

coverage: setup ## run the tests and say which lines of src they do not reach
	@$(BIN)/coverage run -m pytest $(T)
	@$(BIN)/coverage report

check: setup ## format, lint, types, contracts, and that locks, migrations and OpenAPI are in step
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m scripts.lock --check
	@$(BIN)/python -m scripts.openapi --check
	@$(BIN)/python -m scripts.check_migrations

format: setup ## rewrite the code in the project's format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: setup ## rebuild requirements/ from pyproject.toml with today's versions
	@$(BIN)/python -m scripts.lock

openapi: setup ## rebuild tests/openapi.json, the contract as served
	@$(BIN)/python -m scripts.openapi

up: ## build the image and start it with PostgreSQL (docker compose); a password is made and kept in .env
	@test -n "$$POSTGRES_PASSWORD" || grep -qs '^POSTGRES_PASSWORD=.' .env || (umask 077; \
		$(PYTHON) -c 'import secrets; print(f"\nPOSTGRES_PASSWORD={secrets.token_hex(24)}")' >> .env)
	docker compose up --build --detach --wait

down: ## stop what `make up` started; the data stays
	docker compose down
