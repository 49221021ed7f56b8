# `make demo` and `make test` do all set-up: Python 3.11 or newer and make are enough.
# Another Python: `make test PYTHON=/path/to/python3.12`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/demo
JOBS ?= 2

.PHONY: help install demo test test-very-slow lint bench clean

help:
	@echo "make demo    set up, then simulate a movie, train on it and write runs/demo/report.html"
	@echo "make test    set up, then run the tests"
	@echo "make lint    ruff, pyright and the layers"
	@echo "make bench   speed and quality, as tables"
	@echo "make clean   remove .venv and caches; runs/ stays"

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/jaxrvae demo --out $(OUT)

# One file stays with one worker: what it compiles and trains is shared by its tests.
test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations=10 $(ARGS)

test-very-slow: $(STAMP)
	$(BIN)/python -m pytest -m very_slow -n $(JOBS) --durations=15 $(ARGS) || [ $$? -eq 5 ]  # 5: there are none

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/jaxrvae bench $(ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache *.egg-info

# A given PYTHON is used or refused; without one, newer names are tried after python3.
CANDIDATES := $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.13 python3.12 python3.11)

$(STAMP): pyproject.toml constraints.txt
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  found=; \
	  for python in $(CANDIDATES); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	    then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "jaxrvae needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1 | tail -1)." \
	      "Name another: make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$($$found -V)"; \
	  $$found -m venv --clear $(VENV) || { \
	    echo "$$found cannot make environments: install its venv package" \
	      "(Debian, Ubuntu: python3-venv) and try again." >&2; exit 1; }; \
	fi
	@echo "Installing pinned packages into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check \
	  -c constraints.txt -e ".[bayes,cluster,io,report,search,tensorboard,tracks,dev]"
	@touch $@
