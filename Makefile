# Every target sets up what it needs. What was done once is marked in .make/.

PYTHON ?= python3
BIN := .venv/bin
# Random kills of `make torture`; further arguments of pytest.
N ?= 20
SEED ?= 1
LOG ?= kafka
SOURCE ?= postgres
ARGS ?=
# Processes that run tests side by side, each with servers of its own; most tests wait.
WORKERS ?= 4
# Without servers they wait even more.
UNIT_WORKERS ?= 7
PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Folders below tests/; all of them without.
STAGE ?=
# Tests start hundreds of processes: without compiled bytecode a third of their time is compiling.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup lock build services check lint types layers docs unit test steady demo example-odata example-tryton bench torture torture-reads torture-input busy-checks clean

help:
	@echo "make demo       the story in one minute, with no server"
	@echo "make example-odata, make example-tryton   start a real ERP for an example, until Ctrl-C"
	@echo "make check      lint, types and layers"
	@echo "make docs       the documentation as a site, in site/html; any warning fails"
	@echo "make unit       every test that starts no server and no process"
	@echo "make test       check and all tests (real PostgreSQL, Kafka, registry and ERPs)"
	@echo "make test STAGE=capture   the tests of one stage or folder, of several:"
	@echo "                STAGE='cli connectors/odata'; ARGS='-x -k name' goes to pytest"
	@echo "make steady N=10   the tests that wait, so often, beside programs that take all processors"
	@echo "make bench      the benchmarks; results in benchmarks/results/"
	@echo "make torture N=200   random kills, then every event compared with an oracle;"
	@echo "                N=steps: a kill at each step; LOG=embedded, SOURCE=journal, SEED=7"
	@echo "make torture-reads READS=1000000   random reads of rows that change, none older than it claims;"
	@echo "make torture-input N=1000   so many hostile rows, tasks, records and answers at a running bridge;"
	@echo "                SEED=7, LOG=embedded; none ends anything but itself, none is lost"
	@echo "make busy-checks N=100   so many checks beside a bridge at work; none finds anything wrong"
	@echo "make setup      only the virtual environment, .venv"
	@echo "make services   only the servers that tests need"
	@echo "make lock       write locks/ for what pyproject.toml asks for; ARGS=--upgrade for newer versions"
	@echo "make build      compile what is compiled again, after a change of it"
	@echo "make clean      remove everything that was made"

setup: .make/setup build

# Everything is of locks/dev.txt, which names the hash of each file. Compiled by `build`, once.
.make/setup: pyproject.toml setup.py locks/dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/dev.txt
	BRIDGE_BUILD=interpreted $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	mkdir -p .make && touch $@

# What runs, what compiles it, and what works on it; for every Python and platform at once.
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

lock: setup
	$(LOCK) pyproject.toml --extra all --extra dev -o locks/dev.txt $(ARGS)
	$(LOCK) pyproject.toml --extra all -c locks/dev.txt -o locks/runtime.txt
	printf 'cython\nsetuptools\n' | $(LOCK) - -c locks/dev.txt -o locks/build.txt
	$(LOCK) pyproject.toml --extra docs --fork-strategy fewest -c locks/dev.txt -o locks/docs.txt $(ARGS)

# The compiled modules shadow their Python files, so they are made again when those change.
COMPILED := $(wildcard bridge/plan/execute.py bridge/plan/execute.pxd bridge/plan/native.pxd bridge/log/kafka/pack.py bridge/log/kafka/pack.pxd connectors/postgres/protocol/frames.py connectors/postgres/protocol/frames.pxd bridge/gateway/waiters.py bridge/gateway/waiters.pxd bridge/agent/held_rows.py bridge/agent/held_rows.pxd bridge/ports/held_entry.py bridge/ports/held_entry.pxd)

# Tests that compare both forms look whether these are still the files that were compiled.
SUMS := import hashlib, sys; [print(hashlib.sha256(open(path, "rb").read()).hexdigest(), path) for path in sys.argv[1:]]

build: .make/build

.make/build: $(COMPILED) setup.py .make/setup
	rm -f bridge/plan/execute.*.so bridge/log/kafka/pack.*.so connectors/postgres/protocol/frames.*.so bridge/gateway/waiters.*.so bridge/agent/held_rows.*.so bridge/ports/held_entry.*.so
	$(BIN)/python setup.py -q build_ext --inplace -j 3
	$(BIN)/python -c '$(SUMS)' $(COMPILED) setup.py > $@

services: .make/services

# What the ERP is made of: another one is installed beside it.
TRYTON := $(wildcard tests/services/tryton*.py tests/services/files/tryton/kit/*.py)

# What cannot be installed is said; the tests that need it are skipped, and fail in CI.
.make/services: tests/services/install.py examples/tryton/start.py examples/tryton/company.py tests/services/files/cap/package.json $(TRYTON) .make/setup
	if $(BIN)/python -m tests.services.install; then touch $@; fi

# Side by side; what each says is shown as soon as it is done.
check: setup
	@$(MAKE) --no-print-directory -j 3 $(if $(filter output-sync,$(.FEATURES)),-O) lint types layers

lint:
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# Not with --num-workers: on a busy machine mypy gives up waiting for them.
types:
	$(BIN)/mypy bridge connectors tests $(wildcard benchmarks examples)

layers:
	$(BIN)/lint-imports --no-logo

# Never with --quiet: what isn't reported isn't counted by --strict either.
docs: .make/docs
	$(BIN)/python -m tests.docs.site
	$(BIN)/python -m properdocs build -f mkdocs.yml --strict
	$(BIN)/python -m tests.docs.site.built_pages

# Beside what `setup` installs, of the same versions where both need a package.
.make/docs: locks/docs.txt .make/setup
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/docs.txt
	touch $@

unit: WORKERS = $(UNIT_WORKERS)
unit: setup
	$(BIN)/pytest $(PARALLEL) -m unit $(ARGS)

# The files of one stage are looked for below tests/.
comma := ,
STAGES := $(addprefix tests/,$(subst $(comma), ,$(STAGE)))

test: $(if $(STAGE),,check docs) services
	$(BIN)/pytest $(PARALLEL) --durations 25 $(STAGES) $(ARGS)

steady: setup services
	$(BIN)/python -m tests.steady $(N) $(PARALLEL) $(STAGES) $(ARGS)

demo: setup
	$(BIN)/bridgectl demo

example-odata example-tryton: setup
	$(BIN)/python -m examples.$(@:example-%=%).start $(ARGS)

bench: setup services
	$(BIN)/python -m benchmarks

torture: setup services
	$(BIN)/python -m tests.torture $(N) $(SEED) $(LOG) $(SOURCE)

torture-reads: setup services
	$(BIN)/python -m tests.torture_reads $(or $(READS),1000000) $(SEED) $(or $(SOURCE),postgres)

torture-input: setup services
	$(BIN)/python -m tests.torture_input $(N) $(SEED) $(LOG)

busy-checks: setup services
	BRIDGE_BUSY_CHECKS=$(N) $(BIN)/pytest tests/cli/test_busy_checks.py $(ARGS)

clean:
	rm -rf .venv .make build dist site examples/*/var *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find bridge connectors -name '*.so' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
