# Everything a developer types. `make setup` once; the other targets call it when it is needed.

PYTHON ?= python3
VENV   ?= .venv
# Extra flags for pip, for example a mirror or another build of torch.
PIP_FLAGS ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO  ?= demo
MINUTES ?= 10
SEED  ?= 0
BENCHMARKS := $(filter-out benchmarks/golden_%.py,$(sort $(wildcard benchmarks/*.py)))

# Tests and checks never reach for a model on the network.
export HF_HUB_OFFLINE := 1
# A notice of the documentation theme about its own future.
export NO_MKDOCS_2_WARNING := 1

.PHONY: help setup demo test soak fuzz check static fix docs bench clean

help:
	@echo "make setup   create $(VENV) and install everything, pinned by constraints.txt"
	@echo "make demo    make a small pool in ./$(DEMO) and walk the whole way"
	@echo "make test    every test but those of make soak, the slow ones included"
	@echo "make soak    more of what the slow tests look at once"
	@echo "make fuzz MINUTES=10 SEED=0   odd and damaged inputs of every kind, for so long"
	@echo "make check   lint, format, import lines, types, fast tests, docs (warnings are errors)"
	@echo "make fix     let ruff mend what it can"
	@echo "make docs    build the documentation into ./site"
	@echo "make bench DATA=DIR   run the benchmarks on the pairs in DIR"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Thresher needs Python 3.11 or newer; run: make setup PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[train,test,dev,docs]"
	@touch $@

demo: $(STAMP)
	$(BIN)/thresher demo $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest -n 3 --dist worksteal

soak: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m soak

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(MINUTES) --seed $(SEED)

static: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mkdocs build --strict --quiet

check: static
	$(BIN)/python -m pytest -n 0 -m "not slow and not soak"

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

bench: $(STAMP)
	@test -n "$(DATA)" || { echo "say where the pairs are: make bench DATA=DIR"; exit 1; }
	set -e; for script in $(BENCHMARKS); do echo "== $$script"; \
	  if grep -q '"--venv"' $$script; then echo "needs an environment of its own: see --help"; \
	  elif grep -q '"--data"' $$script; then $(BIN)/python $$script --data "$(DATA)"; \
	  else $(BIN)/python $$script; fi; done

clean:
	rm -rf site build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
