# make demo [ARGS="--seconds 15 --json"], make test, make check: each sets .venv up first.
# make soak [SOAK=0.1]: the long tests of docs/faults.md, hours, or that share of their counts.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.streamsr-ready
ARGS ?=
SOAK ?= 1

.PHONY: setup demo test check soak clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh setup.sh
	@touch $@

demo: setup
	@$(BIN)/python run_stream.py demo $(ARGS)

# What measures time runs by itself, afterwards; 5: ARGS select none of one kind.
test: setup
	@$(BIN)/python -m pytest -n auto -m "not serial" $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest -m serial $(ARGS) || [ $$? -eq 5 ]

soak: setup
	@STREAMSR_SOAK=$(SOAK) $(BIN)/python -m pytest -m soak -s $(ARGS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py tests/test_structure.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
