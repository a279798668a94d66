# `make` lists the targets. Everything is installed into .venv below this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run-installed
DEV := $(VENV)/.dev-installed
COMPOSE_COMMAND ?= docker compose
.DEFAULT_GOAL := help
.PHONY: help run models test test-slow test-containers check bench bench-engine bench-recovery bench-ollama soak clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 18

run: $(RUN) ## start Redis, workers, API and Flower; MODELS=a,b chooses the models
	@$(if $(MODELS),VISION_MODELS="$(MODELS)" )exec $(BIN)/python -m launcher

models: $(RUN) ## fetch weights ahead: make models MODEL=blip
	@$(BIN)/python -m workers.model.weights $(MODEL)

test: $(DEV) ## run the tests
	@$(BIN)/python -m pytest $(TESTS)

test-slow: $(DEV) ## run the slow tests: healing, replicas killed in each state, a soak
	@$(BIN)/python -m pytest -m slow $(TESTS)

test-containers: $(DEV) ## build the images and test the compose stack; COMPOSE_COMMAND names compose
	@$(BIN)/python -m pytest -m containers $(TESTS)

check: $(DEV) ## format, lint, types, imports, Dockerfiles, manifests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/hadolint Dockerfile.api Dockerfile.worker
	$(BIN)/python -m pytest -q tests/test_deploy.py
	@if $(COMPOSE_COMMAND) version >/dev/null 2>&1; then \
		for overlay in '' $(wildcard compose.*.yaml); do \
			TORCH_INDEX=x RENDER_GID=1 REDIS_PASSWORD=x VISION_REDIS_URL=redis://x \
			$(COMPOSE_COMMAND) --env-file /dev/null --profile '*' \
				-f compose.yaml $${overlay:+-f $$overlay} config --quiet || exit 1; \
			echo "compose.yaml$${overlay:+ with $$overlay} is valid"; \
		done; \
	else echo "No compose command: compose*.yaml are not checked"; fi

bench: $(DEV) ## measure what the stack adds to a model called in-process
	@$(BIN)/python -m benchmarks.overhead

bench-engine: $(DEV) ## stack against bare models at real size, half an hour; MODELS=a,b QUICK=1
	@$(BIN)/python -m benchmarks.engine $(if $(MODELS),--models $(MODELS)) \
	  $(if $(QUICK),--quick) $(if $(CHECKPOINTS),--checkpoints $(CHECKPOINTS))

bench-recovery: $(DEV) ## measure a recycle under load, and a second replica
	@$(BIN)/python -m benchmarks.recovery

bench-ollama: $(DEV) ## measure healing and a second server, with stand-ins of Ollama
	@$(BIN)/python -m benchmarks.ollama

SOAK_S ?= 600
soak: $(DEV) ## ten minutes of steady load on a model that leaks, slows, crashes and hangs
	@$(BIN)/python -m benchmarks.soak --seconds $(SOAK_S) --plot docs/soak.png

clean: ## remove what was installed and produced; downloaded weights stay
	rm -rf $(VENV) .run .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): requirements-run.txt workers/requirements.txt requirements.txt
	@echo "Installing what the service needs into $(VENV); torch is large, this takes a while …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --disable-pip-version-check -r requirements-run.txt
	@touch $@

$(DEV): tests/requirements.txt requirements-otel.txt $(RUN)
	@echo "Installing what tests and checks need …"
	@$(BIN)/pip install --disable-pip-version-check -q -r tests/requirements.txt
	@touch $@
