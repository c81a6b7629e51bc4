# What people and continuous integration call; the work is done in scripts/ and e2e/.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test check unit e2e attack bench bench-ratio up down setup
python := .venv/bin/python

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup  ## two tenants on one API server, shown with real kubectl commands; leaves nothing running
	@$(python) -m e2e.demo

test: setup  ## everything that proves the program: check and e2e
	@$(python) -m e2e.steps test

check: setup  ## lint, format, types, import contracts, unit tests; no cluster
	@$(python) -m e2e.steps check

unit: setup  ## the unit tests alone
	@$(python) -m e2e.steps unit

e2e: setup  ## end-to-end tests against a real API server
	@$(python) -m e2e.steps e2e

attack: setup  ## the attack suite alone, with the host's audit log as witness: docs/security.md
	@$(python) -m e2e.steps attack

bench: setup  ## figures: direct, vcproxy, a plain Go proxy and nginx side by side, about ten minutes
	@$(python) -m e2e.bench

bench-ratio: setup  ## CPU of a get through vcproxy over that of Go's plain ReverseProxy: the last line is one number
	@$(python) -m e2e.bench.ratio

up: setup  ## cluster, proxy and the tenants acme and globex, left running; kubeconfigs in .dev/; NODES=real:1 for real nodes
	@$(python) -m e2e.dev up --nodes=$(NODES)

down: setup  ## stop what `make up` started
	@$(python) -m e2e.dev down

setup:  ## .venv with the locked packages
	@scripts/setup
