# `make` alone lists the commands.
# Environments are made once and renewed only when their lock file changes (stamp files inside them).

export PATH := $(PATH):/usr/sbin:/sbin# Debian keeps mosquitto there, off a user's path
export PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
LOCK := build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--constraint requirements/constraints.in --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: bench-alerts bench-idle test-guide deb reproducible test-arm powercut test-cluster test-container test-flink test-systemd bench-decoders sparkplug chaos fuzz bench-stream bench-flood bench-durability bench-tensors bench-quantize bench-step-cost bench-state bench-shapes bench-exogenous bench-architectures bench-gradients bench-etth1 bench-forecast bench-impute help demo setup test check lint types layers docstrings doctests unit-file fix wheel lock clean contract

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed ## train, serve and watch real recordings; ends with build/demo/report.html
	$(BIN)/edgeseq demo

setup: .venv/.installed .venv-tflite/.installed build/paho-2.1/.installed programs ## make both environments and install what tests need

test: check ## check everything, then run all tests
	@$(PYTEST) $(if $(PYTEST_STATUS),; echo $$? >$(PYTEST_STATUS))

check: lint types layers docstrings doctests unit-file ## all checks that run no test

lint: setup ## ruff: rules and format
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet

types: setup ## mypy, strict
	$(BIN)/mypy

layers: setup ## imports point down only
	$(BIN)/lint-imports --no-cache --no-logo

docstrings: setup ## all public things and all tests say what they are
	$(BIN)/interrogate --quiet edgeseq train
	$(BIN)/interrogate --quiet --whitelist-regex 'test_.*' tests

doctests: setup ## the examples in docstrings
	$(PYTEST) --quiet --no-header --doctest-modules edgeseq train

unit-file: setup ## the service's exposure is at most 1.0
	systemd-analyze security --offline=true --threshold=10 --no-pager systemd/edgeseq.service >/dev/null

fix: .venv/.installed ## let ruff repair and format
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

bench-etth1: .venv/.installed ## forecast error on ETTh1 as the device makes it: make bench-etth1 DATA=folder
	@test -n "$(DATA)" || { echo "say where the file is: make bench-etth1 DATA=folder (it holds ett/ETTh1.csv)" >&2; exit 2; }
	$(BIN)/python tests/bench/etth1.py --data "$(DATA)" $(if $(SEEDS),--seeds $(SEEDS))

bench-forecast: .venv/.installed ## forecast error beside strong peers: make bench-forecast DATA=folder [SEEDS=3] [ONLY=etth1]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-forecast DATA=folder" >&2; exit 2; }
	$(BIN)/python -m tests.bench.forecast --data "$(DATA)" $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

bench-architectures: .venv/.installed ## each architecture and technique, one budget: make bench-architectures DATA=folder [SEEDS=3] [STEPS=200]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-architectures DATA=folder" >&2; exit 2; }
	$(BIN)/python -m tests.bench.architectures --data "$(DATA)" $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(STEPS),--steps $(STEPS)) $(if $(ONLY),--only "$(ONLY)") $(if $(JOBS),--jobs $(JOBS))

bench-impute: .venv/.installed ## error of filled gaps beside simple methods: make bench-impute DATA=folder [SEEDS=3] [FORECAST=1]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-impute DATA=folder" >&2; exit 2; }
	$(BIN)/python -m tests.bench.impute --data "$(DATA)" $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FORECAST),--forecast)

bench-shapes: .venv/.installed ## one-to-one, one-to-many, many-to-one, many-to-many: make bench-shapes DATA=folder [SEEDS=3] [ONLY=occupancy]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-shapes DATA=folder" >&2; exit 2; }
	$(BIN)/python -m tests.bench.shapes --data "$(DATA)" $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ONLY),--only "$(ONLY)")

bench-exogenous: .venv/.installed ## what weather and calendar are worth as inputs: make bench-exogenous DATA=folder [SEEDS=3] [ONLY=taxi]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-exogenous DATA=folder" >&2; exit 2; }
	$(BIN)/python -m tests.bench.exogenous --data "$(DATA)" $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ONLY),--only $(ONLY))

bench-gradients: .venv/.installed ## gradient norm by lag, gates, clipping, truncation: build/bench/gradients.png and .json
	$(BIN)/python -m tests.bench.gradients $(if $(SEEDS),--seeds $(SEEDS))

bench-quantize: .venv/.installed .venv-tflite/.installed ## quantizations in both runtimes: make bench-quantize [DATA=folder] [SEEDS=3]
	$(BIN)/python -m tests.bench.quantize $(if $(DATA),--data "$(DATA)") $(if $(SEEDS),--seeds $(SEEDS))

bench-tensors: .venv/.installed ## training's numbers against the device's, bit for bit: make bench-tensors DATA=folder [STEPS=6000]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-tensors DATA=folder" >&2; exit 2; }
	$(BIN)/python -m tests.bench.tensors --data "$(DATA)" $(if $(STEPS),--steps $(STEPS)) $(if $(ONLY),--only "$(ONLY)")

bench-state: .venv/.installed ## steps beside the raw interpreter, cost over numbers of streams, bytes of a stream: build/bench/state.json
	$(BIN)/python -m tests.bench.state $(if $(ROUNDS),--rounds $(ROUNDS))

bench-idle: .venv/.installed programs ## memory and start with nothing switched on, beside earlier commits: make bench-idle BEFORE="COMMIT ..." [ROUNDS=7]
	@test -n "$(BEFORE)" || { echo "say what to compare with: make bench-idle BEFORE=COMMIT" >&2; exit 2; }
	$(BIN)/python -m tests.bench.idle $(foreach commit,$(BEFORE),--before $(commit)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-step-cost: .venv/.installed ## a step against a window run again for each reading: build/bench/step_cost.json
	$(BIN)/python -m tests.bench.step_cost

bench-durability: .venv/.installed programs ## kills, cuts, failing disks, restarts, flash: make bench-durability [KILLS=500] [ONLY=kills,cuts]
	KILLS=$(or $(KILLS),500) $(if $(MINUTES),MINUTES=$(MINUTES)) $(BIN)/python -m tests.bench.durability $(if $(ONLY),--only "$(ONLY)")

chaos: .venv/.installed programs ## a simulated disk, broker and clock fail in all ways; mutants; every n-th I/O call: make chaos [SEEDS=10000] [MUTANT_SEEDS=2000]
	$(BIN)/python -m tests.simulator.run --seeds $(or $(SEEDS),1000) --mutant-seeds $(or $(MUTANT_SEEDS),2000)
	$(BIN)/python -m tests.bench.durability --only io,strace

bench-stream: .venv/.installed $(if $(or $(findstring peers,$(ONLY)),$(if $(ONLY),,all)),build/peers/.locked) programs ## throughput and latency beside peers: make bench-stream [ROUNDS=5] [SECONDS=4] [HOLD=60] [ONLY=echo,latency]
	$(BIN)/python -m tests.bench.stream $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(HOLD),--hold $(HOLD)) $(if $(ONLY),--only "$(ONLY)")

fuzz: .venv/.installed .venv-fuzz/.installed ## all readers of bytes under atheris; damaged bundles and models: make fuzz [RUNS=1000000] [ONLY=payload]
	$(BIN)/python -m tests.fuzz.run $(if $(RUNS),--runs $(RUNS)) $(if $(ONLY),--only "$(ONLY)")

bench-alerts: .venv/.installed build/peers/.locked ## alerts on NAB, SKAB and injected faults beside peers: make bench-alerts DATA=folder [ONLY=nab,skab]
	@test -n "$(DATA)" || { echo "say where the recordings are: make bench-alerts DATA=folder (it holds nab/, skab/, ett/ …)" >&2; exit 2; }
	$(BIN)/python -m tests.bench.alerts --data "$(DATA)" $(if $(ONLY),--only "$(ONLY)")

bench-flood: .venv/.installed ## 100,000 topics, ten times the load, then a soak: make bench-flood [SECONDS=300] [SOAK=30 minutes]
	$(BIN)/python -m tests.bench.stream.flood $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SOAK),--soak $(SOAK))

test-systemd: .venv/.installed deb ## install the package on a real systemd (nspawn; needs root) and try it: make test-systemd [KILLS=50]
	@test "$$(id -u)" -eq 0 || { echo "systemd-nspawn needs root: sudo make test-systemd" >&2; exit 2; }
	@.ci/need "mmdebstrap=command -v mmdebstrap" "systemd-container=command -v systemd-nspawn"
	@$(if $(KILLS),KILLS=$(KILLS)) $(PYTEST) -o python_files='nspawn_*.py' -rP tests/systemd$(if $(PYTEST_STATUS),; echo $$? >$(PYTEST_STATUS))

test-guide: .venv/.installed ## type README.md's ten minutes word for word in a clean Debian (chroot; needs root)
	@test "$$(id -u)" -eq 0 || { echo "chroot needs root: sudo make test-guide" >&2; exit 2; }
	@.ci/need "mmdebstrap=command -v mmdebstrap"
	$(PYTEST) -o python_files='chroot_*.py' -o timeout=3600 -rP tests/guide

test-cluster: .venv-cluster/.installed ## train 200 series on two workers of Ray, one of them killed: the same bundles?
	.venv-cluster/bin/python -m pytest -o python_files='ray_*.py' -W default -rP tests/cluster$(if $(PYTEST_STATUS),; echo $$? >$(PYTEST_STATUS))

test-flink: .venv-flink/.installed ## replay 1,000 streams in Flink's mini-cluster, a task killed: the same states and alerts?
	@.ci/need "openjdk-17-jre-headless=command -v java"
	PYTHONPATH=$(CURDIR) .venv-flink/bin/python -m pytest -o python_files='flink_*.py' -W default -rP tests/flink$(if $(PYTEST_STATUS),; echo $$? >$(PYTEST_STATUS))

test-arm: .venv/.installed .venv-tflite/.installed .venv-package/.installed ## the package on real ARM binaries (qemu-user; needs root): make test-arm [ONLY=arm_64]
	@test "$$(id -u)" -eq 0 || { echo "chroot into a foreign tree needs root: sudo make test-arm" >&2; exit 2; }
	@.ci/need "mmdebstrap=command -v mmdebstrap" "arch-test=command -v arch-test" "dpkg-dev=command -v dpkg-deb" \
		"binfmt-support=command -v update-binfmts" "qemu-user-static=command -v qemu-aarch64-static"
	.venv-package/bin/python deploy/package/build.py --architecture arm64 --output build/arm/deb --compression none
	$(PYTEST) -o python_files='arm_*.py' -o timeout=2400 -rP tests/arm$(if $(ONLY),/$(ONLY).py)

powercut: .venv/.installed deb ## cut the power of a device in QEMU again and again (needs root): make powercut [CUTS=10] [DURABILITY=none]
	@test "$$(id -u)" -eq 0 || { echo "making and mounting its disk needs root: sudo make powercut" >&2; exit 2; }
	@.ci/need "mmdebstrap=command -v mmdebstrap" "e2fsprogs=command -v mke2fs" "mosquitto=command -v mosquitto" \
		"qemu-system-x86=command -v qemu-system-x86_64"
	$(BIN)/python -m tests.powercut.run --cuts $(or $(CUTS),10) --durability $(or $(DURABILITY),batched)

reproducible: .venv-package/.installed ## build package and wheel twice, in two places: the same digests? The wheel in an empty environment?
	deploy/package/twice

test-container: wheel ## build the container and run it beside a broker (podman; needs root): make test-container [BASE=python:3.11-slim]
	@test "$$(id -u)" -eq 0 || { echo "a container with the host's network needs root: sudo make test-container" >&2; exit 2; }
	@.ci/need "podman=command -v podman" "runc=command -v runc" "mmdebstrap=command -v mmdebstrap" "mosquitto=command -v mosquitto" \
		"mosquitto-clients=command -v mosquitto_sub"
	tests/container/run $(BASE)

deb: .venv-package/.installed ## build the Debian package in build/deb/: make deb [ARCHITECTURE=arm64]
	@.ci/need "dpkg-dev=command -v dpkg-deb"
	.venv-package/bin/python deploy/package/build.py $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE))

bench-decoders: .venv/.installed ## cost of each decoder beside plain JSON: make bench-decoders [ROUNDS=9]
	$(BIN)/python -m tests.bench.decoders $(if $(ROUNDS),--rounds $(ROUNDS))

sparkplug: venv ## generate the bindings of Sparkplug B from their .proto file
	test -x build/protoc/bin/python || { $(PYTHON) -m venv build/protoc && \
		build/protoc/bin/pip install --quiet grpcio-tools==1.85.1; }
	cd edgeseq/core/decoders && $(CURDIR)/build/protoc/bin/python -m grpc_tools.protoc \
		--proto_path=. --python_out=. sparkplug_b.proto

contract: .venv/.installed ## renew what is generated in docs/: schemas, the AsyncAPI document, the tables of errors
	@mkdir -p docs/contract
	$(BIN)/edgeseq config schema >docs/contract/config.schema.json
	$(BIN)/edgeseq config schema --messages >docs/contract/messages.schema.json
	$(BIN)/edgeseq config schema --asyncapi >docs/contract/asyncapi.json
	$(BIN)/python -m tests.support.errors_page

wheel: .venv/.installed ## build the package in dist/
	$(BIN)/python -m hatchling build --target wheel

lock: ## renew requirements/*.txt from pyproject.toml
	test -x build/uv/bin/uv || { $(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv; }
	$(LOCK) pyproject.toml requirements/build.in --extra edge --extra sparkplug --extra train --extra demo --extra dashboard --extra dev \
		--output-file requirements/dev.txt
	$(LOCK) pyproject.toml requirements/build.in requirements/tests.in --extra tflite \
		--output-file requirements/tflite.txt
	$(LOCK) pyproject.toml --extra edge --output-file requirements/edge.txt
	$(LOCK) --constraint requirements/dev.txt pyproject.toml --extra dashboard --output-file requirements/dashboard.txt
	$(LOCK) requirements/peers.in --output-file requirements/peers.txt
	$(LOCK) pyproject.toml requirements/build.in requirements/package.in --output-file requirements/package.txt
	$(LOCK) --constraint requirements/dev.txt pyproject.toml requirements/build.in requirements/fuzz.in --extra sparkplug \
		--output-file requirements/fuzz.txt
	$(LOCK) --constraint requirements/dev.txt pyproject.toml requirements/build.in requirements/tests.in --extra edge \
		--extra train --extra cluster --output-file requirements/cluster.txt
	$(LOCK) pyproject.toml requirements/build.in requirements/tests.in requirements/flink.in --extra edge \
		--output-file requirements/flink.txt

clean: ## remove what commands left behind, environments excepted
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find edgeseq train tests -name __pycache__ -prune -exec rm -rf {} +

# --- environments -----------------------------------------------------------------------------------------------

.PHONY: venv programs

venv:
	@.ci/need "python3-venv=$(PYTHON) -c 'import ensurepip, venv'"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11" >&2; \
		echo "  do: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }

programs:
	@.ci/need "mosquitto=command -v mosquitto" "mosquitto-clients=command -v mosquitto_sub" \
		"systemd=command -v systemd-analyze" "strace=command -v strace" "chromium=command -v chromium"

.venv/.locked: requirements/dev.txt | venv
	.ci/install .venv $<
	@touch $@

.venv-tflite/.locked: requirements/tflite.txt | venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "$(PYTHON) is not 3.11, the newest Python that tflite-runtime has a wheel for" >&2; \
		echo "  do: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	.ci/install .venv-tflite $<
	@touch $@

.venv-fuzz/.locked: requirements/fuzz.txt | venv
	@test "$$(uname -sm)" = "Linux x86_64" || .ci/need "clang=command -v clang" # no wheel: atheris builds itself
	.ci/install .venv-fuzz $<
	@touch $@

.venv-cluster/.locked: requirements/cluster.txt | venv
	.ci/install .venv-cluster $<
	@touch $@

.venv-flink/.locked: requirements/flink.txt | venv
	.ci/install .venv-flink $<
	@touch $@

.venv-package/.locked: requirements/package.txt | venv
	.ci/install .venv-package $<
	@touch $@

build/peers/.locked: requirements/peers.txt | venv
	.ci/install build/peers $<
	@touch $@

build/paho-2.1/.installed: requirements/paho-2.1.txt .venv/.installed
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 10 --no-deps --require-hashes \
		--target $(@D) --requirement $<
	@touch $@

%/.installed: %/.locked pyproject.toml
	$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
