# make demo [ARGS="--seconds 15 --json"], make test, make check: each sets .venv up first.
# make docs: pages of every public name, into build/docs.
# make soak [SOAK=0.1]: the long tests of docs/faults.md, hours, or that share of their counts.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.streamsr-ready
ARGS ?=
SOAK ?= 1

.PHONY: setup demo test check docs soak home-assistant clean

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

# A real Home Assistant, the newest that PyPI has for Python 3.11, in an environment of its own: one
# test of `make soak` needs it. Its wheel says which versions it was made with.
HASS := .home-assistant
HASS_VERSION := 2024.3.3
HASS_PARTS := paho-mqtt pillow janus psutil-home-assistant securetar sqlalchemy fnv-hash-fast \
	home-assistant-frontend "josepy<2" ha-av PyTurboJPEG numpy

home-assistant:
	@$(PYTHON) -m venv $(HASS)
	@$(HASS)/bin/pip install -q --no-deps homeassistant==$(HASS_VERSION)
	@pins=$$(ls $(HASS)/lib/python3*/site-packages/homeassistant/package_constraints.txt); \
	$(HASS)/bin/pip install -q -c "$$pins" homeassistant==$(HASS_VERSION) $(HASS_PARTS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py tests/test_structure.py

docs: setup
	@$(BIN)/python -W error tools/api_pages.py build/docs

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
