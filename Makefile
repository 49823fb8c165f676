# make quickstart   set up, run the quickstart suite, print its table, name its page
# make test         set up, pass the tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart gallery test slow golden lint gpu clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,quality]'
	@touch $@

quickstart: setup
	$(BIN)/bench run suites/quickstart.yaml

# the suites of docs/gallery.md, then its tables and pictures
gallery: setup
	$(BIN)/bench tune suites/gallery.yaml
	$(BIN)/bench run suites/gallery.yaml
	$(BIN)/bench run suites/datasets.yaml --scale quick
	$(BIN)/python -m reports.gallery docs/gallery.md

# one process per core, because the tensors of the tests are too small for threads; each process takes one file after
# another, long ones first, so that all end at about the same time
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow and not gpu' -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations=20

# what takes minutes: whole quick suites
slow: setup
	$(BIN)/python -m pytest -m slow --no-cov -s

# numbers that a change of code must reproduce bit for bit; with WHY="..." a change that does is noted, and results stay fresh
golden: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.support.golden $(if $(WHY),--equal "$(WHY)")

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# what only a GPU can show: CUDA against CPU, bfloat16, torch.compile, flash-attn where installed; the memory of the
# loss; then a real run
gpu: setup
	$(BIN)/python -m pytest -m gpu --no-cov
	$(BIN)/bench perf loss --device cuda
	$(BIN)/bench run suites/quickstart.yaml --runs runs/gpu

clean:
	rm -rf .venv runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
