# The house's outer doors. `make help` lists them; each needs Python 3.11 or newer, make and PyPI, unless it says more.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
DEVSTACK := .devstack
KAFKA_LIBS := $(DEVSTACK)/kafka-libs
KAFKA_POM := tests/kafka/pom.xml
# Passed on to the program behind a target: make demo ARGS=--once, make test ARGS="-k outbox -x"
ARGS ?=
# The interpreter that makes .venv; when this is not set, the oldest one that will do, which is what CI runs.
PYTHON ?=

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(INSTALLED) ## make .venv and install everything that requirements.lock pins

# Every download is checked against a hash, the build tool included. Runs again only when one of these two files changed.
$(INSTALLED): requirements.lock pyproject.toml
	@python="$(PYTHON)"; \
	for candidate in $${python:-python3.11 python3.12 python3.13 python3.14 python3 python}; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$candidate"; break; fi; \
	  python=""; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer was not found; name one with PYTHON=/path/to/python" >&2; exit 1; fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$("$$python" --version)"; "$$python" -m venv --clear $(VENV); \
	fi
	@echo "installing what requirements.lock pins"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## start everything on this machine and sync sample records; ARGS=--once ends by itself
	@$(BIN)/crm-sync demo $(ARGS)

.PHONY: test
test: $(INSTALLED) ## run the tests; broker and database from the environment, else Docker, else the embedded ones
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: test-kafka
test-kafka: $(INSTALLED) $(KAFKA_LIBS)/complete ## run the broker's tests on a real Apache Kafka (needs Java 17 and Maven too)
	@CRM_SYNC_TEST_BROKER=apache $(BIN)/python -m pytest -m "broker or apache" $(ARGS)

# Kept until the version in the pom changes.
$(KAFKA_LIBS)/complete: $(KAFKA_POM)
	@command -v java >/dev/null || { echo "Apache Kafka needs Java 17 or newer (Debian: apt install default-jre-headless)" >&2; exit 1; }
	@command -v mvn >/dev/null || { echo "fetching Apache Kafka needs Maven (Debian: apt install maven)" >&2; exit 1; }
	@echo "fetching Apache Kafka from Maven Central"
	@rm -rf $(KAFKA_LIBS)
	@mvn --batch-mode --quiet --file $(KAFKA_POM) dependency:copy-dependencies \
	  -DincludeScope=runtime -DoutputDirectory="$(CURDIR)/$(KAFKA_LIBS)"
	@touch $@

.PHONY: check
check: $(INSTALLED) ## lint, format, types, import rules, published contracts, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy -p services
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.publish --check
	$(BIN)/python -m cli.errors_page --check
	PYTHONPATH=tests $(BIN)/python -m services.migration_check

.PHONY: format
format: $(INSTALLED) ## let ruff format the code and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(INSTALLED) ## measure the figures that the README states
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lock
lock: $(INSTALLED) ## pin the newest allowed version of everything again, with hashes, for every platform
	@echo "setuptools>=77" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras \
	  --upgrade --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml - --output-file requirements.lock

.PHONY: clean
clean: ## delete .venv, the local servers' files and every cache
	rm -rf $(VENV) $(DEVSTACK) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
