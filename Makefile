# Every target sets up what it needs by itself: Python 3.11+ and make are enough. `make help` lists them.
PYTHON ?= python3
RUN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(RUN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-vlm app experiments test test-all lint check bench lock

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## make the environment in .venv (instant when it is there)
	@$(PYTHON) -m tools.setup_env

demo: setup  ## resample a chain of thought, write its report (make demo ARGS="--rollouts 50")
	@$(RUN)/cotlab demo $(ARGS)

demo-vlm: setup  ## an image-text model that says what is not there: POPE, where the error enters, report (runs/demo-vlm)
	@$(RUN)/cotlab vision pope --model tiny-vlm:prior --problems scenes --n-problems 60 --run runs/demo-vlm/pope
	@$(RUN)/cotlab vision locate --model tiny-vlm:prior --twin tiny-vlm --cases 16 --scenes 60 --patched 0 --erased 0
	@$(RUN)/python -m experiments hallucination --model tiny-vlm:prior --budget small --out runs/demo-vlm $(ARGS)
	@$(RUN)/cotlab report --results runs/demo-vlm/hallucination --out runs/demo-vlm/report.html

app: setup  ## the workbench in the browser (make app ARGS="runs/demo")
	@$(RUN)/cotlab app $(ARGS)

experiments: setup  ## every research question at a small budget, into runs/experiments-small (make experiments ARGS="--seed 1")
	@$(RUN)/python -m experiments all --budget small $(ARGS)

test: setup  ## tests without the slow ones (make test ARGS="tests/stats -k wilson")
	$(PYTEST) -m "not slow" $(ARGS)

test-all: setup  ## all tests
	$(PYTEST) $(ARGS)

lint: setup  ## ruff, mypy, import-linter
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/lint-imports

check: lint test  ## what must pass before a commit

bench: setup  ## run the benchmarks, write docs/benchmarks.md
	$(RUN)/python -m benchmarks --write docs/benchmarks.md $(ARGS)

lock:  ## write requirements.lock anew (make lock ARGS=--upgrade to move every pin)
	$(PYTHON) -m tools.lock $(ARGS)
