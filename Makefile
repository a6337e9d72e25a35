# `make demo` and `make test` do all the set-up they need. Settings, each optional:
#   PYTHON=python3.12        the interpreter to build .venv from (3.10 to 3.13)
#   TORCH_INDEX=URL          the index torch comes from; CPU only: https://download.pytorch.org/whl/cpu
#   BAG=file TOPIC=name RATE=1.0 WEIGHTS=file OUT=folder   what the demo plays, how fast, results
#   SECONDS=12               how long a drive the demo simulates; a BAG is played whole
#   SCANS=3 ODOMETRY=topic   the demo fuses each cloud with those before it, by odometry; a BAG's topic of it
#   SCAN=file                the scan that `make bench` times
#   MINUTES=10 HOURS=1 POINTS=60000 PARAMETERS='NAME:=VALUE ...'   of `make overload` and `make soak`
#   RUNS=20 THREADS=1,2 BACKENDS=reference,native,spconv MODELS=cylinder3d-0.5x   of `make bench-cpu`: samples a row,
#                            numbers of threads, sparse engines, networks

# Tests of Ray and Parquet are skipped until `.venv/bin/pip install -c constraints.txt ray pyarrow` (extra `fleet`), that
# of KISS-ICP until the same with `kiss-icp` (extra `slam`).
# A sourced ROS 2 brings pytest plugins of its own for another pytest, hence PYTEST_DISABLE_PLUGIN_AUTOLOAD.
PYTHON ?= python3
# Byte code is kept even where the environment says otherwise: every process would compile torch anew, for seconds.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
BENCH_DATA := build/bench
SCAN ?= $(BENCH_DATA)/sequences/08/velodyne/000000.bin
RUNS ?= 20
THREADS ?= 1,$(shell getconf _NPROCESSORS_ONLN)
BACKENDS ?= reference,native
MODELS ?= cylinder3d-0.25x,cylinder3d-0.5x,cylinder3d-1x

.PHONY: help setup demo test test-slow bench bench-scan bench-cpu bench-codec delivery gpu overload soak lint clean

help:
	@echo "make demo        simulate a drive (or BAG=... TOPIC=...), label it with the ROS 2 node, show what came out"
	@echo "make test        run the fast tests            make test-slow   run the slow ones"
	@echo "make bench       time the network on this machine (SCAN=file)"
	@echo "make bench-cpu   measure all that benchmarks/cpu holds (SCAN=file RUNS= THREADS= BACKENDS= MODELS=)"
	@echo "make bench-codec time the way from messages to points and back (SAVE=1: into benchmarks/node)"
	@echo "make delivery    how many large clouds arrive from another process, and how late (SAVE=1: into benchmarks/node)"
	@echo "make gpu         measure what needs a GPU (PART=1 or 2, SCAN=file BUDGET=300 s a part; DEVICE=cpu rehearses it)"
	@echo "make overload    five times as many clouds as the node can label (MINUTES=10); make soak: its own pace (HOURS=1)"
	@echo "make lint        check style, format and types     make setup       only set up .venv, with all of it"
	@echo "make clean       remove .venv and what the targets wrote"
	@echo "settings: PYTHON= TORCH_INDEX= BAG= TOPIC= RATE= SECONDS= SCANS= ODOMETRY= WEIGHTS= OUT= SCAN="

# A Python that is there is told by start_set_up.py whether it suits.
SET_UP = command -v "$(PYTHON)" > /dev/null || { echo "error: PYTHON=$(PYTHON): no such program;" \
	"the name of a Python from 3.10 to 3.13 expected, such as PYTHON=python3" >&2; exit 1; }; \
	TORCH_INDEX="$(TORCH_INDEX)" "$(PYTHON)" scripts/start_set_up.py

setup:
	@$(SET_UP) test

demo:
	@$(SET_UP) demo "BAG=$(BAG)" "RATE=$(RATE)" "SECONDS=$(SECONDS)" "SCANS=$(SCANS)"
	@$(BIN)/pvd demo $(if $(BAG),--bag "$(BAG)") $(if $(TOPIC),--topic "$(TOPIC)") \
		$(if $(RATE),--rate "$(RATE)") $(if $(SECONDS),--seconds "$(SECONDS)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
		$(if $(OUT),--out "$(OUT)") $(if $(SCANS),--scans "$(SCANS)") $(if $(ODOMETRY),--odometry "$(ODOMETRY)")

# A process more than there are cores, for some tests wait, four at most; the tests of one file stay together, for they
# share data.
TEST_PROCESSES := $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 3 ? n + 1 : 4)))
PYTEST = $(if $(ROS_DISTRO),PYTEST_DISABLE_PLUGIN_AUTOLOAD=1) $(BIN)/python -m pytest test \
	-p timeout -p xdist -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test: setup
	@$(PYTEST)

test-slow: setup
	@$(PYTEST) -m slow --timeout 3600

bench-scan: setup
	@test -e "$(SCAN)" || $(BIN)/pvd simulate $(BENCH_DATA) --sequences 08 --scans 1

bench: bench-scan
	@$(BIN)/pvd bench "$(SCAN)"

BENCH_CPU = $(BIN)/pvd bench "$(SCAN)" --device cpu --precision fp32,bf16 --force
bench_files = --json benchmarks/cpu/$(1).json --markdown benchmarks/cpu/$(1).md

bench-cpu: bench-scan
	@$(BENCH_CPU) --runs "$(RUNS)" --threads "$(THREADS)" --backends "$(BACKENDS)" \
		--beside 0,2 $(call bench_files,shipped)
	@$(BENCH_CPU) --runs "$(RUNS)" --threads "$(THREADS)" --backends "$(BACKENDS)" \
		--model "$(MODELS)" $(call bench_files,networks)
	@$(BENCH_CPU) --model cylinder3d-0.5x --stages --layers $(call bench_files,layers)
	@$(BENCH_CPU) --model cylinder3d-0.25x,cylinder3d-0.5x --train $(call bench_files,training)
	@$(BENCH_CPU) --runs 5 --growth --batch 1,2,4,8 $(call bench_files,growth)

# With PYTHON=python3, an interpreter that has torch and triton already, its packages are used as they are. Both parts
# unless PART names one; a made-up scan unless SCAN names one.
DEVICE ?= cuda
BUDGET ?= 300
GPU_PYTHON = $(if $(filter file,$(origin PYTHON)),$(BIN)/python,$(PYTHON))

gpu: $(if $(filter file,$(origin PYTHON)),setup)
	@for part in $(or $(PART),1 2); do \
		$(GPU_PYTHON) -m scripts.gpu $(if $(filter file,$(origin SCAN)),,"$(SCAN)") --part $$part --device "$(DEVICE)" \
			--budget "$(BUDGET)" $(if $(OUT),--out "$(OUT)") || failed=1; \
	done; test -z "$$failed"

MINUTES ?= 10
HOURS ?= 1
POINTS ?= 60000
ENDURANCE = $(BIN)/python -m scripts.endurance --points "$(POINTS)"
node_files = $(if $(SAVE),--json benchmarks/node/$(1).json --markdown benchmarks/node/$(1).md)

# SAVE=1 replaces the figures in benchmarks/node.
bench-codec: setup
	@$(BIN)/python -m scripts.codec $(call node_files,codec)

# With a ROS 2 sourced and RMW_IMPLEMENTATION=rmw_cyclonedds_cpp it measures Cyclone DDS, into delivery_cyclonedds.
delivery: setup
	@$(BIN)/python -m scripts.delivery $(call node_files,delivery$(if $(findstring cyclone,$(RMW_IMPLEMENTATION)),_cyclonedds))

overload: setup
	@$(ENDURANCE) --minutes "$(MINUTES)" --times 5 $(call node_files,overload) $(PARAMETERS)

soak: setup
	@$(ENDURANCE) --hours "$(HOURS)" --times 1 $(call node_files,soak) $(PARAMETERS)

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf $(VENV) build demo .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
