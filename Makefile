# Two commands do everything on a fresh machine that has Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs
DIR ?= tests/golden
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: install demo test lint golden fuzz bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints-cpu.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-cpu.txt --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/openstylegan demo --outdir $(OUT)

# Some tests time processes that end or connections that are cut: a machine that is busy elsewhere may fail one of them
# beside the others, and not alone. What fails twice fails; both reports are printed.
test: install lint
	$(PYTEST) -n 2 || { [ $$? -eq 1 ] && echo "Those that failed, once more, one at a time:" && $(PYTEST) --last-failed --last-failed-no-failures none; }

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

golden: install
	$(BIN)/python tests/golden/run.py $(DIR)

fuzz: install
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m interop.hostile --hostile 1000 --damaged 5000

bench: install
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
