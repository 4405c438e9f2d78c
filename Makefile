# Everything starts from an empty checkout; nothing but Python 3.11+ is needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: run test test-python lint coverage docs bench clean

run: $(VENV)/.installed    ## the service on the sandbox, with a demo caller
	VSI_ESL_PROGRAM_HINT=$(BIN)/vsi-esl $(BIN)/vsi-esl serve --sandbox

test: $(VENV)/.installed-test    ## the whole test suite, some parts at a time
	$(BIN)/python -m tests

test-python: $(VENV)/.installed-test    ## what depends on the version of Python; PYTHON and VENV say which
	$(BIN)/python -m tests service-1 service-2 unit

lint: $(VENV)/.installed-test    ## ruff, mypy and the order of the folders
	$(BIN)/ruff check vsi_esl tests examples
	$(BIN)/ruff format --check vsi_esl tests examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

coverage: $(VENV)/.installed-test    ## branch coverage; a figure, not a gate
	$(BIN)/coverage erase
	for part in tests/unit tests/conformance tests/service; do $(BIN)/coverage run -m pytest -q $$part || exit 1; done
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered --sort=cover

docs: $(VENV)/.installed-test    ## the documents that are made of the code
	$(BIN)/python -m tests.generated

bench: $(VENV)/.installed-test    ## the benchmarks; figures, not a pass or fail
	$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(VENV) || { echo "Debian and Ubuntu keep venv apart: apt-get install python3-venv"; exit 1; }
	@# what understands the demo caller is not for every platform
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[local]' \
	 || $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(VENV) || { echo "Debian and Ubuntu keep venv apart: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .[test,bench]
	touch $@ $(VENV)/.installed
