# Two commands do everything a newcomer needs: `make demo` and `make test`. Both do their own set-up, once.
# `make check` before each commit; `make help` lists the rest.

VENV    := .venv
BIN     := $(VENV)/bin
PYTHON  ?= python3
UI_OUT  := hub/web/static/dist/.built
UI_IN   := package.json package-lock.json build.mjs tsconfig.json \
           $(shell find hub/web/src edge/screen/src -type f 2>/dev/null)
WORKERS ?= 4  # on two cores: half of the tests wait for a receiver, a browser or a broker
FIRST   ?= 0
TOTAL   ?= 1000000
SOAK_OUT ?= var/soak.txt

# Where it is set, each program compiles every library anew at every start: seconds instead of one.
unexport PYTHONDONTWRITEBYTECODE

# Every target named in plain words is one; files are made by rules with a path.
.PHONY: $(shell sed -n 's/^\([a-z][a-z-]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))
.DEFAULT_GOAL := help

help:
	@echo "make demo         a whole fleet on this machine, everything set up first (DEMO='--map FILE.osm.pbf' for a real city)"
	@echo "make test         every test, real broker and real browser included"
	@echo "make check        format, lint, types, import contracts and the quick tests"
	@echo "make proof-simulation  a million simulated records and every fault; FIRST=0 TOTAL=1000000"
	@echo "make proof-processes  the slow tests with real processes: restores, gpsd on more captures, a busy hour at the console by keys alone (5 min)"
	@echo "make soak         every fault provoked with the real programs, as root; ROWS='F01 F02', SOAK=--quick"
	@echo "make story        the demo's scripted first call, against a running demo or one of its own"
	@echo "make bench-map    milliseconds from a receiver's last byte to a console, 20 units at 1 Hz"
	@echo "make bench-bridge  the bridge beside gpsd on the same bytes, and a finger on the duress button"
	@echo "make bench-backup  what a running hub's commits notice of a backup"
	@echo "make bench-terminal  commits, notes, bytes on flash and 64 MB, beside what the disk does without us (root: exact bytes)"
	@echo "make bench-ingest  positions made durable at the hub, beside a C program and a commit for each"
	@echo "make bench-storm  a thousand terminals after the broker was killed"
	@echo "make bench-hub    ranking, consoles, the board, click to screen, map import, beside their peers (MAP=FILE.osm.pbf; minutes: HUB_NEEDS=100)"
	@echo "make bench-air    bytes an hour on the cellular link beside OwnTracks and a tracker's rule (root)"
	@echo "make bench-drain  how fast a backlog drains beside bare paho, and what the map notices of it (root)"
	@echo "make fuzz         bytes by the million into the receiver's reader, guided by coverage (FUZZ_S=600 seconds)"
	@echo "make asyncapi     docs/asyncapi.json anew from the message types"
	@echo "make openapi      docs/openapi.json anew from the routes of the hub"
	@echo "make format       let the formatter have its way"
	@echo "make lock         renew requirements.lock from pyproject.toml"
	@echo "make clean        remove what was built and the demonstration fleet"

demo: setup
	@exec $(BIN)/tandem-demo $(DEMO)

story: setup
	@exec $(BIN)/tandem-demo --story first-call --json --headless $(DEMO)

test: setup test-packages check-static check-pages
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup

check: $(VENV)/.installed check-static check-pages quick

check-static: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-pages: ui
	@npm run --silent check

quick: $(VENV)/.installed
	$(BIN)/pytest -q -n $(WORKERS) -m "not system and not browser and not proof"

# A failing seed is printed with the line that lives through it again.
proof-simulation: $(VENV)/.installed
	$(BIN)/python -m tests.seams.simulate --first $(FIRST) --total $(TOTAL) --workers $(WORKERS)

# What is tried with real processes and takes too long for every run.
proof-processes: setup test-packages
	$(BIN)/pytest -q -m proof

# The wire's published description follows the message types; a test says when it does not.
asyncapi: $(VENV)/.installed
	$(BIN)/python -m wire.asyncapi > docs/asyncapi.json

# So does the description of the API, made from the routes that the hub registers.
openapi: $(VENV)/.installed
	$(BIN)/python -m hub.web.write_openapi > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

# Rows that need root or something that this machine lacks say so. The text is also written to $(SOAK_OUT).
soak: setup soak-packages var/tools/thingsboard/.installed
	@exec $(BIN)/python -m tests.soak $(ROWS) $(SOAK) --out $(SOAK_OUT)

soak-packages:
	@scripts/system-packages nft:nftables ip:iproute2 mkfs.ext4:e2fsprogs || echo "Rows that need them will say so."

# The peer of two rows, in an environment of its own: nothing of it ever runs beside our programs.
var/tools/thingsboard/.installed: tests/soak/peer-requirements.lock
	@echo "Installing ThingsBoard Gateway, for comparison, in var/tools …"
	@$(PYTHON) -m venv var/tools/thingsboard
	@var/tools/thingsboard/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< \
	    && touch $@ || echo "It could not be installed: its rows will say so."

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-map: setup
	$(BIN)/python -m bench.fix_to_map

# The figures of the captures are printed by their tests, which compare with gpsd's own answers.
bench-bridge: setup test-packages
	$(BIN)/pytest -q tests/captures
	$(BIN)/python -m bench.bridge
	$(BIN)/python -m bench.press

bench-air: setup
	@scripts/system-packages ip:iproute2
	$(BIN)/python -m bench.air

bench-drain: setup
	@scripts/system-packages ip:iproute2 nft:nftables
	$(BIN)/python -m bench.drain

bench-backup: setup
	$(BIN)/python -m bench.hub_backup

bench-terminal: setup
	$(BIN)/python -m bench.terminal

# Without a compiler the C program is left out, and said to be.
bench-ingest: setup
	@scripts/system-packages cc:gcc /usr/include/stdio.h:libc6-dev /usr/include/openssl/ssl.h:libssl-dev \
	    /usr/include/sqlite3.h:libsqlite3-dev || true
	$(BIN)/python -m bench.ingest

bench-storm: setup
	$(BIN)/python -m bench.storm

# One after the other, and each can be run alone. A peer that this machine has not got is left out, and said to be.
# The real city is named by whoever has one; without it they draw a smaller one.
MAP ?=
HUB_NEEDS ?= 1000
bench-hub: setup test-packages bench-hub-peers
	$(BIN)/python -m bench.hub_map $(if $(MAP),--map '$(MAP)')
	$(BIN)/python -m bench.hub_ranking $(if $(MAP),--map '$(MAP)') --needs $(HUB_NEEDS)
	$(BIN)/python -m bench.hub_consoles
	$(BIN)/python -m bench.hub_board $(if $(MAP),--map '$(MAP)')
	$(BIN)/python -m bench.hub_send

# Where PostGIS lies depends on the version of PostgreSQL.
POSTGIS = $(firstword $(wildcard /usr/share/postgresql/*/extension/postgis.control) postgis.control)
bench-hub-peers:
	@scripts/system-packages $(POSTGIS):postgresql-postgis || echo "What is measured beside PostGIS will say that it was left out."
	@scripts/osrm-engine || echo "What is measured beside OSRM will say that it was left out."

# Instrumented Python is slow: at nice 19 it takes nothing from whoever works here. What it finds lies in var/fuzz.
FUZZ_S ?= 600
fuzz: $(VENV)/.installed
	@mkdir -p var/fuzz/found
	@$(BIN)/python -c "import atheris" 2>/dev/null || \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r fuzz/requirements.lock
	nice -n 19 env PYTHONPATH=. $(BIN)/python fuzz/receiver.py -max_total_time=$(FUZZ_S) -max_len=2000 \
	    -artifact_prefix=var/fuzz/found/

setup: packages $(VENV)/.installed ui road-engine

packages:
	@scripts/system-packages mosquitto:mosquitto node:nodejs npm:npm tilemaker:tilemaker osmium:osmium-tool

# Native programs for road times, checked by hash and unpacked beside us; nothing fails without them.
road-engine: $(VENV)/.installed
	@scripts/road-engine || echo "The tests of road times will say that they were left out."

test-packages:
	@scripts/system-packages chromium:chromium curl:curl jq:jq
	@scripts/debian-tools || echo "The tests beside gpsd and chrony will say that they were left out."

# Hashes are in the lock, so what is installed is what was reviewed. The project itself is linked, not copied.
$(VENV)/.installed: requirements.lock pyproject.toml
	@scripts/system-packages
	@echo "Making the virtual environment (about a minute the first time) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

ui: $(UI_OUT)

$(UI_OUT): $(UI_IN)
	@echo "Building the web interface …"
	@npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@npm run --silent build
	@touch $@

# Needs uv (`pip install uv`); everybody else needs only pip.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra terminal --extra hub --extra fleet --extra dev \
	    --generate-hashes --no-annotate --no-header --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra fuzz --generate-hashes --no-annotate --no-header \
	    --output-file fuzz/requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    --output-file tests/soak/peer-requirements.lock tests/soak/peer-requirements.in
	echo osrm-bindings==26.10.0 | uv pip compile --quiet --python-version 3.12 --no-deps --only-binary :all: \
	    --generate-hashes --no-annotate --no-header --output-file scripts/osrm-engine.lock -
	echo pyvalhalla==3.9.1 | uv pip compile --quiet --python-version 3.12 --no-deps --only-binary :all: \
	    --generate-hashes --no-annotate --no-header --output-file scripts/road-engine.lock -

clean:
	rm -rf var $(VENV) node_modules hub/web/static/dist edge/screen/static/dist .mypy_cache .ruff_cache .pytest_cache
