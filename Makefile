# Everything a checkout needs: `make up` runs a cluster, the others check and measure. All of it lives in .venv and ./data.

PYTHON ?= python3
BENCH ?= --workload put --cluster 2x3 --seconds 10
VENV := .venv
BIN := $(VENV)/bin
ROOMS := log shard client cluster bench

# The packages are installed once per pyproject.toml; the project itself is installed editable.
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: up test lint types bench clean
.DELETE_ON_ERROR:

up: $(INSTALLED)
	@exec $(BIN)/ocelog up

test: $(INSTALLED_DEV)
	@exec $(BIN)/pytest -n 2 -q

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy wants a directory that is named like the package, which a checkout need not be.
types: $(INSTALLED_DEV)
	@mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/ocelog
	MYPYPATH=$(VENV)/types $(BIN)/mypy -m ocelog -m ocelog.__main__ $(addprefix -p ocelog.,$(ROOMS))

# make bench BENCH="--workload get --cluster 1x3 --seconds 5"
bench: $(INSTALLED)
	@exec $(BIN)/ocelog bench $(BENCH)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python3:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ocelog needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): $(VENV)/bin/python3 pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e '.[cli]'
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[cli,bench,dev]'
	@touch $@
