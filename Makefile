.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROTOC := $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=processor/pb --pyi_out=processor/pb

.PHONY: help install redis run test check lint types bench protos render clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## make .venv and install the gateway in it

$(VENV)/.runs: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the gateway into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[envoy]'
	@touch $@

$(INSTALLED): $(VENV)/.runs pyproject.toml
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[envoy]' --group dev
	@touch $@

run: $(VENV)/.runs ## start the gateway (ARGS="--config gateway.yaml --port 8081")
	@exec $(BIN)/python -m processor up $(ARGS)

redis: ## install redis-server where it is missing; the tests start their own
	@command -v redis-server >/dev/null || { \
	  echo "Installing redis-server ..."; \
	  SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
	  $$SUDO apt-get install -y -qq --no-install-recommends redis-server >/dev/null 2>&1 || \
	  { $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends redis-server >/dev/null; } || \
	  { echo "The tests need redis-server: install it, then try again." >&2; exit 1; }; }

test: $(INSTALLED) redis ## run every test (ARGS="-k name")
	$(BIN)/python -m pytest $(ARGS)

check: lint types test ## all that CI runs

lint: $(INSTALLED) ## format, lint, import contracts, rendered files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory protos && git diff --exit-code -- processor/pb

types: $(INSTALLED) ## strict types
	$(BIN)/mypy

bench: $(INSTALLED) ## measure against bare Envoy and peers (ARGS="--quick --no-peers")
	$(BIN)/python -m bench $(ARGS)

protos: $(INSTALLED) ## compile protos/ into processor/pb
	@$(PROTOC) protos/*.proto

render: $(VENV)/.runs ## write Envoy's files (CONFIG=gateway.yaml OUT=rendered)
	$(BIN)/python -m processor render $(CONFIG) --out $(or $(OUT),rendered)

clean: ## remove what was made here
	rm -rf $(VENV) .gateway rendered .pytest_cache .mypy_cache .ruff_cache .hypothesis
