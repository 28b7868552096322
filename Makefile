# make demo: set up and run the whole story on the synthetic hospital.   make test: set up and run every test.
# make reader: train the report encoder that ships anew, from nothing, into runs/reader (ten minutes on one core).
# make cluster: install Ray and run the tests that need it, on a cluster of two nodes of which one is killed.
# make docs: the site, docs/_build/html.   make packages: build, install and use the package under every Python found (an hour or more).
PY      ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1

.PHONY: demo test cluster reader install export readme docs packages lab

demo: install
	$(BIN)/lp-nb demo

test: install
	$(BIN)/python tests/harness.py
	$(BIN)/python -m pytest -q -rs -n 2 --dist loadfile tests
	timeout 1500 $(BIN)/nbdev_test --n_workers 2 --do_print --timing

cluster: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -q -rs tests/test_ray.py

reader: install
	$(BIN)/lp-nb reader runs/reader

install: $(STAMP)
	@$(BIN)/lp-nb doctor --fix --quiet

$(STAMP): settings.ini setup.py constraints.txt
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'lp_nb needs Python 3.11 or newer: make PY=python3.11 $(MAKECMDGOALS)'; exit 2; }
	@echo 'Setting up $(VENV): about 1.7 GB of packages with the CPU build of torch, gigabytes more with the GPU build that the ordinary index gives on Linux (README: how to take the other). A few minutes, once.'
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[dev]'
	@touch $@

export: install
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean

readme: export
	$(BIN)/python tests/readme.py --write

docs: install
	$(BIN)/python docs/pages.py

packages:
	$(PY) tests/packages.py

lab: install
	$(BIN)/lp-nb lab
