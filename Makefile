# `make` lists the targets. Everything is installed into .venv below this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run-installed
DEV := $(VENV)/.dev-installed
DOCS := $(VENV)/.docs-installed
COMPOSE_COMMAND ?= docker compose
.DEFAULT_GOAL := help
.PHONY: help run models docs test test-slow test-containers test-gpu check bench bench-versions bench-engine bench-gpu bench-recovery bench-priority bench-peers bench-ollama soak prove lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 18

run: $(RUN) ## start Redis, the workers, the API and Flower; MODELS=a,b chooses the models
	@$(if $(MODELS),VISION_MODELS="$(MODELS)" )exec $(BIN)/python -m launcher

models: $(RUN) ## download weights in advance: make models MODEL=blip
	@$(BIN)/python -m workers.model.pull $(MODEL)

docs: $(DOCS) ## build the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html; with a search: $(BIN)/python -m http.server --directory site 8000"

# Hundreds of processes read our code, even where Python was told to keep nothing of what it compiles.
test test-slow: export PYTHONDONTWRITEBYTECODE :=

TEST_PROCESSES ?= 2
test: $(DEV) ## run the tests, in two processes; TEST_PROCESSES=0: in one
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope $(TESTS)

test-slow: $(DEV) ## run the slow tests: healing, replicas killed in each state, a short soak test
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope -m slow $(TESTS)

test-gpu: $(DEV) ## run the tests that need a CUDA GPU
	@$(BIN)/python -m benchmarks.gpu.tests $(TESTS)

test-containers: $(DEV) ## build the images and test the compose stack; COMPOSE_COMMAND sets the compose command
	@$(BIN)/python -m pytest -m containers $(TESTS)

check: $(DEV) ## check format, lint, types, imports, Dockerfiles and manifests
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
	else echo "There is no compose command, so compose*.yaml are not checked"; fi

bench: $(DEV) ## measure what the stack adds to a model called in-process
	@$(BIN)/python -m benchmarks.overhead

bench-versions: $(DEV) ## compare this checkout with those in other folders; OTHERS="a b" MODELS="x y"
	@$(BIN)/python -m benchmarks.versions $(OTHERS) $(if $(MODELS),--models $(MODELS))

bench-engine: $(DEV) ## compare the stack with bare models of real size, half an hour; MODELS=a,b CLIENTS=4,16 QUICK=1
	@$(BIN)/python -m benchmarks.engine $(if $(MODELS),--models $(MODELS)) \
	  $(if $(CLIENTS),--clients $(CLIENTS)) $(if $(QUICK),--quick) $(if $(CHECKPOINTS),--checkpoints $(CHECKPOINTS))

bench-gpu: $(DEV) ## test and measure models, stack and recovery on one GPU, eight minutes; MODELS=a,b STAGES=bare,stack
	@$(BIN)/python -m benchmarks.gpu $(if $(MODELS),--models $(MODELS)) $(if $(STAGES),--stages $(STAGES))

bench-recovery: $(DEV) ## measure restarts, a recycle under load, and the gain of a second replica
	@$(BIN)/python -m benchmarks.recovery

bench-priority: $(DEV) ## measure how long a person waits while bulk work does, four minutes
	@$(BIN)/python -m benchmarks.priority

bench-peers: $(DEV) ## compare with Flask, gunicorn, LitServe, BentoML and Celery as in tutorials; MODELS=a,b ROUNDS=5
	@$(BIN)/python -m benchmarks.peers $(if $(MODELS),--models $(MODELS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-ollama: $(DEV) ## measure healing, and the gain of a second server, with stand-ins for Ollama
	@$(BIN)/python -m benchmarks.ollama

SOAK_S ?= 600
soak: $(DEV) ## run ten minutes of steady load on a model that leaks, slows down, crashes and hangs
	@$(BIN)/python -m benchmarks.soak --seconds $(SOAK_S) --plot docs/soak.png

prove: $(DEV) ## attack the whole service: load, faults, slow and hostile clients; LONG=1 takes half an hour
	@$(BIN)/python -m benchmarks.prove $(if $(LONG),--long) $(if $(ONLY),--only $(ONLY)) $(if $(WRITE),--write $(WRITE))

lock: $(DEV) ## write the locks after a pin was edited; UPGRADE=1 renews what no file pins
	@$(BIN)/python -m tools.lock $(if $(UPGRADE),--upgrade)

clean: ## remove everything that was installed or generated, except downloaded weights
	rm -rf $(VENV) .run site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Packages come by uv, or by pip where there is no uv. A lock names every package that is needed, so nothing is
# installed without a hash. Only torch has none, because each index has builds of its own.
INSTALL := $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")' \
	&& $(PYTHON) -m launcher.install

$(RUN): requirements-run.lock requirements-flower.lock workers/requirements.lock requirements.lock \
		workers/requirements.txt launcher/requirements.lock
	@echo "Installing what the service needs into $(VENV); torch is large, so the first time takes minutes …"
	@$(INSTALL) requirements-run.lock --torch
# The command line `vision`. It is built by setuptools, which the locks have.
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-build-isolation --no-deps -e .
	@touch $@

$(DEV): tests/requirements.lock requirements-otel.lock $(RUN)
	@echo "Installing what tests and checks need …"
	@$(INSTALL) tests/requirements.lock
	@touch $@

$(DOCS): tools/docs_site/requirements.lock requirements.lock launcher/requirements.lock
	@echo "Installing what the documentation needs …"
	@$(INSTALL) tools/docs_site/requirements.lock
	@touch $@
