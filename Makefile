# Everything sets itself up: a fresh machine with make and Python 3.11 or newer needs nothing before `make run`.
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test test-fast lint types imports bench setup-tests clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

run: .venv/.ready ## start the daemon on manifests/, in the foreground
	exec .venv/bin/sandkeeper run --manifests manifests --state-dir .run/state

test: setup-tests ## run all tests; as root on Debian, installs what they need
	$(PY) -m pytest --numprocesses 2 --dist loadfile -m "not alone"
	$(PY) -m pytest -m alone

test-fast: .venv/.ready-dev ## run the tests that need no Docker engine
	$(PY) -m pytest -m "not docker"

lint: .venv/.ready-dev ## ruff: rules and format
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: .venv/.ready-dev ## mypy, strict
	.venv/bin/mypy

imports: .venv/.ready-dev ## which package may import which
	.venv/bin/lint-imports

bench: setup-tests ## measure, and exit 1 where a figure is missed
	$(PY) -m benchmarks

setup-tests: .venv/.ready-dev
	@sh scripts/setup-tests.sh
	@$(PY) -m tests.support.images

clean: ## remove the environment, caches and the state of `make run`
	rm -rf .venv .run .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build

.venv/.ready: pyproject.toml scripts/setup-venv.sh
	@sh scripts/setup-venv.sh
	@touch $@

.venv/.ready-dev: pyproject.toml scripts/setup-venv.sh
	@sh scripts/setup-venv.sh dev
	@touch $@ .venv/.ready
