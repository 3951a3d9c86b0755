# Two commands do all set-up on a machine with Python (3.11 to 3.14, with venv) and make: `make demo` and `make test`.
# `make help` lists the others.

# The first Python that fits, unless one is named: make PYTHON=python3.13 demo
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?= ../shared/data
NAME ?= publish
TEST_ARGS ?=
# Further arguments of demo, demo-real and dev: make demo ARGS="--voters 100000"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-real dev test lint types imports validate bench chaos lock image up down backup restore clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Our processes start often; a setting that keeps Python from compiling a module once and for all doubles the time of each.
unexport PYTHONDONTWRITEBYTECODE

# A Python that is named is looked at each time; an environment of it that is there is kept.
ifneq ($(PYTHON),)
.PHONY: $(READY)
endif

$(READY): requirements.lock pyproject.toml tools/environment.py
	@python=$$(PYTHON='$(PYTHON)' tools/python) && "$$python" tools/environment.py

demo: $(READY) ## simulated sources to a served prediction
	$(BIN)/mlops-assets demo $(ARGS)

demo-real: $(READY) ## the public files in DATA to a served prediction
	$(BIN)/mlops-assets demo-real --data $(DATA) $(ARGS)

dev: $(READY) ## the Dagster UI on the demonstration's instance
	$(BIN)/mlops-assets dev $(ARGS)

test: $(READY) lint ## everything that can be tested on this machine
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not docker" $(TEST_ARGS)
	# One after the other, and nothing beside them: they share the engine, and start dozens of processes.
	$(BIN)/python -m pytest -m docker $(TEST_ARGS)

lint: $(READY) ## style, types and rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

validate: $(READY) ## load the three code locations as Dagster will
	env -u DAGSTER_HOME $(BIN)/dagster definitions validate -w workspace.yaml
	env -u DAGSTER_HOME $(BIN)/dg check defs

chaos: $(READY) ## break things at random: make chaos NAME=arrivals|demo|hostile|lake|plans|runs|schema|serve|sources
	$(BIN)/python chaos/$(NAME).py $(ARGS)

bench: $(READY) ## measure: make bench NAME=audit|demo|ingest|publish|spine|events|drift|runs|train|serve
	$(BIN)/python bench/$(NAME).py

lock: $(READY) ## resolve requirements.lock anew
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group dev \
	  --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group build \
	  --custom-compile-command "make lock" --constraint requirements.lock --output-file requirements-runtime.lock pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group object-store --no-deps \
	  --custom-compile-command "make lock" --output-file requirements-object-store.lock

# The deployment of that name, and the first of its three ports: make up NAME=staging PORT=9443
ifeq ($(origin NAME),command line)
image up down backup restore: export COMPOSE_PROJECT_NAME := $(NAME)
endif
ifeq ($(origin PORT),command line)
image up down backup restore: export MLOPS_ASSETS_PORT := $(PORT)
endif

image: ## build the container images
	@deploy/check $@
	@deploy/build

up: ## start the deployment in containers, NAME or mlops-assets; secrets are made on the first start
	@deploy/check $@
	@deploy/build
	@# What is queued waits, so that no run starts between two builds.
	@deploy/compose stop daemon 2>/dev/null || :
	@deploy/wait-healthy deploy/compose up --detach --remove-orphans

down: ## remove containers and networks of NAME; with DATA=delete data, keys and certificates too, for good
	@deploy/check $@
	@deploy/down $(if $(filter delete,$(DATA)),--volumes)

backup: ## write the deployment NAME, in use or not, into FILE (backups/NAME-TIME.tar)
	@deploy/check $@
	@deploy/backup '$(or $(FILE),backups/$(or $(COMPOSE_PROJECT_NAME),mlops-assets)-$(shell date -u +%Y%m%dT%H%M%SZ).tar)'

restore: ## make the deployment NAME of the backup FILE; one that is there already is left alone
	@deploy/check $@
	@deploy/restore '$(FILE)'

clean: ## remove what the commands made: the virtual environment, and the demonstrations with their data
	rm -rf $(VENV) .mlops_assets .mlops_assets-real .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
