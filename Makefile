# Two commands set everything up: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint types unit pipelines docs pins up clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/nexus demo

up: $(INSTALLED)
	$(BIN)/nexus up

test: lint types unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal

# The compiled pipelines are committed; a test checks that they are current.
pipelines: $(INSTALLED)
	$(BIN)/python -m kfp_components.compile_pipelines

# The page of the tables, from their one definition; a test checks that it is current.
docs: $(INSTALLED)
	$(BIN)/python -m omics_datastore.schema.markdown > docs/tables.md

# The pins of constraints.txt from the ranges of pyproject.toml.
pins: $(INSTALLED)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --extra dev --output-file constraints.txt pyproject.toml

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
