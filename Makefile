# make figures: environment, then all figures.  make test: environment, then all tests.
# make bench: how fast seeds are trained, on this machine.  make curves: whether they are the Trainer's.
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
BENCH ?=
VENV := .venv
STAMP := $(VENV)/.installed
RUN := . $(VENV)/bin/activate &&

# What the README's gallery and docs/results.md show of `make figures`.
SHOWN := fig2_decay fig3_phase frontier frontier_tasks complementarity gap intrinsic sources c_star curves

.PHONY: figures all tables report gallery test lint bench curves env kubernetes schema clean

figures all tables report: $(STAMP)
	@$(RUN) workflow/run $@

gallery: figures
	cp $(SHOWN:%=results/figures/%.png) docs/images/

test: $(STAMP)
	@$(RUN) tests/run

lint: $(STAMP)
	@$(RUN) tests/lint

bench: $(STAMP)
	@$(RUN) python benchmarks/training.py $(BENCH)

curves: $(STAMP)
	@$(RUN) python benchmarks/curves.py

env: $(STAMP)

# The plugins of profiles/kubernetes: 24 MB to download, 70 MB on disk.
kubernetes: $(VENV)/.kubernetes

$(VENV)/.kubernetes: envs/kubernetes.txt $(STAMP)
	$(RUN) python -m pip install --quiet --no-deps --requirement envs/kubernetes.txt
	@touch $@

$(STAMP): envs/requirements.txt pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "make: $(PYTHON) not found; set PYTHON=..., 3.11 or newer" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) python -m pip install --quiet --upgrade pip
	$(RUN) python -m pip install --quiet --constraint envs/requirements.txt $(TORCH)
	$(RUN) python -m pip install --quiet --no-deps --requirement envs/requirements.txt
	$(RUN) python -m pip install --quiet --no-deps --editable .
	$(RUN) python -m pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest $(VENV)/share/prehoc vaderSentiment==0.5 \
	  || echo "make: no archive of vaderSentiment 0.5: all works but packaged:vader-domains" >&2
	@touch $@

schema: $(STAMP)
	$(RUN) prehoc schema --out workflow/schemas/config.schema.json

clean:
	rm -rf results .prehoc .snakemake
