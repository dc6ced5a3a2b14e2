PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= runs/demo
JOB ?= generate
ARGS ?=
PYTEST := $(BIN)/python -m pytest
CHECKS := $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
NETWORKS := $(addprefix nano-, vae dino filter-dino clip filter-clip detector segmenter depth text-to-image controlnet)

.DEFAULT_GOAL := help
.PHONY: help setup demo customize test test-fast fuzz test-ceph check bench cluster submit nano-data $(NETWORKS) nano-refiner nano-view-generator clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-zA-Z_-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make nano-NETWORK         Train one more nano network, resumable: $(NETWORKS:nano-%=%)"

setup: $(VENV)/.installed ## Create the virtual environment and install everything (several GB, once)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup ## Write a small dataset and its report (nano profile; no GPU, no network)
	$(BIN)/python jobs/generate.py --config nano --output $(OUTPUT) $(ARGS)

customize: setup ## Draw a held-out toy in three places and edit it, with the nano ToffeeNet
	$(BIN)/python jobs/customize.py --model nano --subject docs/images/subject.png --num-images 1 --class-name "toy train" \
		--prompt "a photo of a toy train on a beach" --prompt "a photo of a toy train in front of a brick wall" \
		--prompt "a photo of a toy train in outer space" $(ARGS)
	$(BIN)/python jobs/customize.py --model nano --subject docs/images/subject.png --num-images 1 --mask auto --depth auto \
		--class-name "toy train" --prompt "a watercolor painting of a toy train" $(ARGS)

test test-fast: export PYTHONDONTWRITEBYTECODE := # a hundred processes would compile the same sources

test: setup ## Lint, type check and run all tests: those that start a Ray, and beside them, in what these leave of two cores, the rest
	@folder=$$(mktemp -d); export TOFFEE_TESTS_FORK_SERVER_OF_ALL=$$folder/server; startup=tests/helpers/startup; \
	PYTHONPATH=$$startup $(BIN)/python -m tests.helpers.fork_server $$folder/server < /dev/null & server=$$!; \
	ready() { until [ -e $$folder/server ] || ! kill -0 $$server; do sleep 0.1; done; }; \
	{ ready; PYTHONPATH=$$startup exec $(PYTEST) tests/ray $(ARGS) > $$folder/log 2>&1; } & ray=$$!; \
	nice sh -c '$(CHECKS)' > $$folder/checks 2>&1 & checks=$$!; \
	ready && nice $(PYTEST) tests --ignore=tests/ray -n 2 --dist loadfile --no-loadscope-reorder $(ARGS); others=$$?; \
	wait $$checks; checks=$$?; wait $$ray; ray=$$?; cat $$folder/log $$folder/checks; rm -r $$folder; \
	kill $$server; { wait $$server; } 2> /dev/null; [ $$? = 143 ] || { echo "tests: the process that all others were forked from ended by itself" >&2; others=1; }; \
	[ $$checks = 0 ] && [ $$others = 0 -o $$others = 5 ] && [ $$ray = 0 -o $$ray = 5 ] # 5: ARGS chose none of them

test-fast: setup ## The quick tests, without Ray, whole jobs and files of more than five seconds: about two minutes on two slow cores
	$(PYTEST) tests --ignore=tests/ray -m "not slow" -n 2 $(ARGS)

test-ceph: setup ## The tests of storage, lease and faults on a Ceph of one node (needs Debian's ceph-mon, ceph-mgr, ceph-osd, radosgw)
	$(BIN)/python -m tests.helpers.ceph $(ARGS)

fuzz: setup ## Change run directories, configs and catalogues at random for a minute, and look for a way out
	FUZZ_SECONDS=60 $(PYTEST) tests/fuzz $(ARGS)

check: setup ## Lint, type check and hold the imports against the layout
	$(CHECKS)

bench: setup ## Run the benchmarks that carry a bar and write benchmarks/RESULTS.md: make bench ARGS="scaling overhead"
	$(BIN)/python -m benchmarks.results $(ARGS)

cluster: setup ## Start Ray on this machine for `make submit`; stays in the foreground
	VENV=$(VENV) cluster/one_node.sh $(ARGS)

submit: export RAY_AUTH_MODE := $(or $(RAY_AUTH_MODE),token)
submit: setup ## Submit a job to a Ray cluster: make submit JOB=generate ARGS="--config sdxl --output s3://..."
	@$(BIN)/python cluster/reachable.py
	$(BIN)/ray job submit --working-dir . -- python jobs/$(JOB).py $(ARGS)

nano-data: setup ## Render the training set of the nano networks (.nano/)
	$(BIN)/python -m toffee_pipeline.recipe data

$(NETWORKS): nano-%: setup
	$(BIN)/python -m toffee_pipeline.recipe $*

nano-refiner: setup ## Train the nano Refiner by its job, and take it into the package
	$(BIN)/python jobs/train_refiner.py --config nano --output .nano/train_refiner --set data.cache=.nano/cache $(ARGS)
	$(BIN)/python -m toffee_pipeline.recipe adopt refiner .nano/train_refiner

nano-view-generator: setup ## Train the nano View Generator by its job, and take it into the package
	$(BIN)/python jobs/train_view_generator.py --config nano --output .nano/train_view_generator --set data.cache=.nano/cache $(ARGS)
	$(BIN)/python -m toffee_pipeline.recipe adopt view_generator .nano/train_view_generator

clean: ## Remove runs and caches, keep the virtual environment
	rm -rf runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
