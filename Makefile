.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROTOC := $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=processor/pb --pyi_out=processor/pb

.PHONY: help install run test check lint types bench protos render clean

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

test: $(INSTALLED) ## run every test (ARGS="-k name")
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
