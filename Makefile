# Patchbay: one way in. Every target says what it does and what to do next; none asks anything.
PY := .venv/bin/python
.PHONY: help setup setup-demo demo test check format dev soak bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 16

setup:  ## Debian packages, .venv, the PBX (all cached): everything that demo and tests need
	@vagrant/provision/setup.sh --tests
	@echo "next: make demo (see a call), make test (prove it), make dev (a shell beside a running lab)"

setup-demo:
	@vagrant/provision/setup.sh

demo: setup-demo  ## one callback through a real PBX, shown live
	@.venv/bin/patchbay demo

check: setup  ## format, lint, types, import direction and cycles, sizes
	@echo "check: ruff, mypy, import-linter, sizes and cycles"
	@.venv/bin/ruff check --quiet --output-format concise .
	@.venv/bin/ruff format --check --quiet . || { echo "some files are not formatted: make format" >&2; exit 1; }
	@.venv/bin/mypy --no-error-summary
	@said=$$(.venv/bin/lint-imports 2>&1) || { echo "$$said"; exit 1; }
	@$(PY) tests/check/house.py

format:  ## let ruff put the files into shape
	@.venv/bin/ruff check --quiet --fix-only . ; .venv/bin/ruff format .

test: check  ## make check, then every test, two files at a time
	@.venv/bin/pytest --numprocesses 2 --dist loadfile

dev: setup  ## a lab and a shell inside the virtual environment, taken down when you leave
	@vagrant/provision/dev.sh

soak: setup  ## the long crash runs (an hour and more)
	@.venv/bin/pytest -m soak --timeout 7200

bench: setup  ## the performance numbers of docs/why/performance.md, best with nothing else on the machine
	@for one in callback hold accept; do .venv/bin/patchbay bench $$one || exit 1; done
	@echo "next: patchbay bench masking --database postgresql://..., patchbay bench callback --pbx freeswitch"

clean:  ## remove what was made in this folder; the PBX cache stays
	@rm -rf .venv .dev build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.*
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
	@echo "clean. The PBX root stays cached ($$(controller/lab/asterisk-root.sh --where)); next: make setup"

SHELL := /bin/bash
.DEFAULT_GOAL := help
