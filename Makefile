# One command each; `make help` lists them. A new machine needs python3 (3.11 or newer) and make: the rest is set up.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PY := .venv/bin/python
# The first Python that is new enough and can make virtual environments; the pins are made on 3.11.
FIND_PYTHON = for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done

.PHONY: help up down backup restore demo test test-containers lint bench bench-peers prove-mutation prove-property prove-bank prove-stream prove-replay prove-poison bench-ledger prove-crashes prove-tampering prove-loader prove-rebuild prove-faults prove-fuzz prove-openapi prove-propagation schemas cli-docs reference logs clean distclean requirements

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  .venv/bin/tollbook    audit the books of the running stack (there after any of the above; --help)"

up: .venv/runtime.stamp  ## set up what is missing, start everything, print URLs and a demo key
	@$(PY) -m deploy.local up

down:  ## stop everything; the data stays
	@if [ -x $(PY) ]; then $(PY) -m deploy.local down; fi

backup: .venv/runtime.stamp  ## back the running stack up, without stopping it (TO=directory)
	@$(PY) -m deploy.local backup create "$(or $(TO),$(error name a directory that does not exist yet: make backup TO=/backups/monday))"

.PHONY: upgrade
upgrade: .venv/runtime.stamp  ## bring a running stack to the code that is checked out now, while it serves
	@$(PY) -m deploy.local upgrade

restore: .venv/runtime.stamp  ## restore a backup into an empty TOLLBOOK_HOME (FROM=directory, REPLACE=1 to remove what is there)
	@$(PY) -m deploy.local backup restore $(if $(REPLACE),--replace) "$(or $(FROM),$(error name the backup: make restore FROM=/backups/monday))"

demo: .venv/dev.stamp  ## from nothing to a story: traffic, faults, a receipt, balances, an alert (the first time takes longer)
	@$(PY) -m deploy.local.demo

# How many test sessions share the files out, each with engines of its own (about 1 GB).
TEST_SESSIONS ?= 2
test: .venv/dev.stamp  ## run all tests against real, embedded engines
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m pytest tests --numprocesses $(TEST_SESSIONS) --dist loadscope

test-containers: .venv/dev.stamp  ## the same tests against the engines' official images (needs Docker)
	@TOLLBOOK_TEST_PROVIDER=containers $(PY) -m pytest tests

lint: .venv/dev.stamp  ## check style, types and import contracts
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy services schemas deploy tests
	@.venv/bin/lint-imports

bench: .venv/dev.stamp  ## measure throughput, added latency, CPU and lag of the running stack
	@$(PY) -m tests.bench

bench-peers: .venv/dev.stamp  ## the same, with LiteLLM's proxy beside it on the same load
	@$(PY) -m tests.bench --peers

prove-mutation: .venv/dev.stamp  ## break pricing, postings and holds in a thousand ways: the tests must notice 90%
	@$(PY) -m tests.reliability.mutation

prove-property: .venv/dev.stamp  ## any sequence of operations keeps the ledger sound (SEQUENCES=20000 STEPS=50 BACKEND=memory|postgres)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.property.settlement.prove --backend $(or $(BACKEND),memory) --sequences $(or $(SEQUENCES),20000) \
		--steps $(or $(STEPS),50) $(if $(SEED),--seed $(SEED))

prove-bank: .venv/dev.stamp  ## 64 clients on one wallet in nested envelopes: nothing is overspent (ATTEMPTS=1000000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.bank --attempts $(or $(ATTEMPTS),1000000)

prove-stream: .venv/dev.stamp  ## doubled, reordered, late and forged events come to the clean books (EVENTS=1000000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.stream --events $(or $(EVENTS),1000000)

prove-replay: .venv/dev.stamp  ## read everything again three times, move offsets about: nothing is posted twice (EVENTS=100000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.replay --events $(or $(EVENTS),100000)

prove-poison: .venv/dev.stamp  ## records that nobody can read, between good ones: all set aside, none stops a partition (MESSAGES=10000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.poison --messages $(or $(MESSAGES),10000)

prove-crashes: .venv/dev.stamp  ## kill -9 at every row of the crash matrix, and at random under load (TIMES=50 KILLS=200)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.crash --times $(or $(TIMES),50) --random $(or $(KILLS),200)

prove-loader: .venv/dev.stamp  ## kill -9 the loader at every point of a batch, read everything again: ClickHouse is what Kafka is (TIMES=50)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.loader --times $(or $(TIMES),50)

.PHONY: prove-outage
prove-outage: .venv/dev.stamp  ## ClickHouse away in four ways, Postgres and Kafka frozen, under load: nothing lost, told as it is (SECONDS_AWAY=60 RATE=2000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.outage --seconds $(or $(SECONDS_AWAY),60) --per-second $(or $(RATE),2000)

prove-rebuild: .venv/dev.stamp  ## price a ledger anew from offset 0 and compare it to the last unit (EVENTS=100000 PASTS=200)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.rebuilding --events $(or $(EVENTS),100000)
	@TOLLBOOK_REBUILD_PASTS=$(or $(PASTS),200) TOLLBOOK_REBUILD_STEPS=200 $(PY) -m pytest -q tests/property/settlement/test_rebuilding.py

prove-faults: .venv/dev.stamp  ## a third of all upstream calls goes wrong: every request answered, every charge exact (REQUESTS=5000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.faults storm --requests $(or $(REQUESTS),5000)

prove-fuzz: .venv/dev.stamp  ## fuzzed requests and fuzzed upstreams: no failure of ours, no hold lost, every charge exact (BODIES=10000 REPLIES=2000)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.faults fuzz --bodies $(or $(BODIES),10000) --replies $(or $(REPLIES),2000)

prove-openapi: .venv/dev.stamp  ## try every call of every service's OpenAPI document: answered as it says, no failure of ours (EXAMPLES=200 SEED=1)
	@$(PY) -m deploy.local prepare --tests
	@TOLLBOOK_OPENAPI_EXAMPLES=$(or $(EXAMPLES),200) TOLLBOOK_OPENAPI_SEED=$(or $(SEED),1) $(PY) -m pytest -q tests/openapi --timeout 3600

.PHONY: prove-backup
prove-backup: .venv/dev.stamp  ## backups of a stack under load, each restored elsewhere and audited: nothing lost, nothing twice (ROUNDS=20)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.backups --rounds $(or $(ROUNDS),20)

evaluate-alerts: .venv/dev.stamp  ## how often the alert rules are right and wrong: 50 incidents of each kind, four weeks without (SEED=…); writes docs/alerts.md
	@$(PY) -m tests.evaluation $(if $(SEED),--seed $(SEED),--write)

.PHONY: evaluate-alerts

.PHONY: prove-upgrade
prove-upgrade: .venv/dev.stamp  ## new code and new tables for all seven processes under load: no request fails, none is misbilled (ROUNDS=3)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.upgrades --rounds $(or $(ROUNDS),3)

prove-propagation: .venv/dev.stamp  ## freezes, prices, routes, keys and budgets under load: how soon two of everything obey (TIMES=20)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.propagation --times $(or $(TIMES),20)

bench-ledger: .venv/dev.stamp  ## holds per second on one wallet, settling events per second of the worker, and the CPU of each
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.rates
prove-tampering: .venv/dev.stamp  ## change, remove, swap and forge sealed rows, flip every bit of receipts: all found (TAMPERINGS=10000 RECEIPTS=20)
	@$(PY) -m deploy.local prepare --tests
	@$(PY) -m tests.reliability.tampering --tamperings $(or $(TAMPERINGS),10000)
	@$(PY) -m tests.reliability.receipt_bits --receipts $(or $(RECEIPTS),20)

schemas: .venv/runtime.stamp  ## write the JSON Schemas of all events, and of the files that operators write
	@$(PY) -m schemas.export
	@$(PY) -m services.router.table_schema
	@$(PY) -m services.settlement.price_schema
	@$(PY) -m services.analytics.signals.rule_schema

cli-docs: .venv/runtime.stamp  ## write the commands' reference into docs/cli.md
	@$(PY) -m services.console.reference docs/cli.md

reference: .venv/runtime.stamp  ## write the API reference in docs/api from the running stack's OpenAPI documents
	@$(PY) -m deploy.reference

logs:  ## follow the logs
	@if [ -x $(PY) ]; then $(PY) -m deploy.local logs; fi

clean:  ## stop everything and remove all data (.tollbook or TOLLBOOK_HOME); .venv stays
	@if [ -x $(PY) ]; then $(PY) -m deploy.local clean; fi

distclean: clean  ## the same, and remove the Python packages in .venv too
	@rm -rf .venv

requirements: .venv/dev.stamp  ## pin requirements/*.in anew, with hashes
	@cd requirements && for name in runtime dev; do \
		../$(PY) -m piptools compile --quiet --upgrade --strip-extras --generate-hashes --allow-unsafe \
		--no-emit-find-links --no-emit-index-url --no-emit-trusted-host --output-file $$name.txt $$name.in; done

# A stamp is newer than the pins that were installed; dev.txt holds all of runtime.txt.
PIP_INSTALL = $(PY) -m pip install --disable-pip-version-check --require-hashes --progress-bar off --requirement
# pip names each package; this counts them, so that a slow line is told from a hanging one.
COUNT = awk '/^Collecting / && ++n % 20 == 0 {print "  " n " packages …"} /^Installing collected/ {print "  installing …"} {fflush()}'

.venv/dev.stamp: requirements/dev.txt | .venv/bin/python .venv/bin/tollbook
	@echo "Installing Python packages for services, tests and linters (once, some minutes) …"
	@$(PIP_INSTALL) $< | $(COUNT)
	@touch $@ .venv/runtime.stamp

.venv/runtime.stamp: requirements/runtime.txt | .venv/bin/python .venv/bin/tollbook
	@echo "Installing Python packages for the services (once, some minutes) …"
	@$(PIP_INSTALL) $< | $(COUNT)
	@touch $@

# The command line; it reads the checkout that its .venv lies in.
.venv/bin/tollbook: deploy/local/tollbook.sh | .venv/bin/python
	@install -m 755 $< $@

.venv/bin/python:
	@if [ -z "$$($(FIND_PYTHON))" ] && [ -e /etc/debian_version ] && [ "$$(id -u)" = 0 ]; then \
		echo "Installing Python's venv (apt-get) …"; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes python3-venv >/dev/null; fi
	@python="$$($(FIND_PYTHON))"; if [ -z "$$python" ]; then \
		echo "Tollbook needs Python 3.11 or newer with venv. On Debian: apt-get install python3-venv" >&2; exit 1; fi; \
		echo "Making .venv with $$python …"; $$python -m venv .venv
