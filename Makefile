# Everything starts from an empty checkout; nothing but Python 3.11+ is needed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DOCS_VENV ?= .venv-docs
ANSIBLE_VENV ?= .venv-ansible

.PHONY: run test test-python lint coverage docs docs-tools generated screenshots dist deb bench clean ansible-tools ansible-test

run: $(VENV)/.installed    ## the service on the sandbox, with a demo caller
	VSI_ESL_PROGRAM_HINT=$(BIN)/vsi-esl $(BIN)/vsi-esl serve --sandbox

test: $(VENV)/.installed-test    ## the whole test suite, some parts at a time
	$(BIN)/python -m tests

test-python: $(VENV)/.installed-test    ## what depends on the version of Python; PYTHON and VENV say which
	$(BIN)/python -m tests unit-1 unit-2 -- --deselect tests/unit/test_fuzz.py

lint: $(VENV)/.installed-test    ## ruff, mypy and the order of the folders
	$(BIN)/ruff check vsi_esl tests examples deploy
	$(BIN)/ruff format --check vsi_esl tests examples deploy
	$(BIN)/mypy
	@# what Linux alone has is found here, and not by whoever tries it on macOS
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(BIN)/lint-imports --no-cache

coverage: $(VENV)/.installed-test    ## branch coverage; a figure, not a gate
	$(BIN)/coverage erase
	for part in tests/unit tests/conformance tests/service; do $(BIN)/coverage run -m pytest -q $$part || exit 1; done
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered --sort=cover

docs: generated $(DOCS_VENV)/.installed    ## the manual, into build/site
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --quiet
	@echo "the manual is build/site/index.html; to search in it: python3 -m http.server --bind 127.0.0.1 -d build/site"

docs-tools: $(DOCS_VENV)/.installed    ## what builds it, in an environment of its own

generated: $(VENV)/.installed-test    ## the documents that are made of the code
	$(BIN)/python -m tests.generated

screenshots: $(VENV)/.installed-test    ## pictures of the console for the documents; needs Chromium
	$(BIN)/python -m tests.screenshots

dist: $(VENV)/.installed-test    ## wheel and source archive, the same bytes from the same commit
	$(BIN)/python deploy/dist.py

deb: $(VENV)/.installed-test    ## a package for this machine's Debian or Ubuntu
	BUILDER=$(BIN)/python deploy/debian/build

bench: $(VENV)/.installed-test    ## the benchmarks; figures, not a pass or fail
	$(BIN)/python -m tests.bench

ansible-tools: $(ANSIBLE_VENV)/.installed    ## what checks ansible/, in an environment of its own

ansible-test: $(VENV)/.installed-test ansible-tools    ## the roles: linted, and converged into a directory
	$(BIN)/python -m pytest tests/operations/test_ansible.py

clean:
	rm -rf $(VENV) $(DOCS_VENV) $(ANSIBLE_VENV) build dist *.egg-info

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

$(DOCS_VENV)/.installed: docs/requirements.txt
	@$(PYTHON) -m venv $(DOCS_VENV) || { echo "Debian and Ubuntu keep venv apart: apt-get install python3-venv"; exit 1; }
	$(DOCS_VENV)/bin/python -m pip install -q --disable-pip-version-check -r docs/requirements.txt
	touch $@

$(ANSIBLE_VENV)/.installed: ansible/requirements-tools.txt
	@$(PYTHON) -m venv $(ANSIBLE_VENV) || { echo "Debian and Ubuntu keep venv apart: apt-get install python3-venv"; exit 1; }
	$(ANSIBLE_VENV)/bin/python -m pip install -q --disable-pip-version-check -r ansible/requirements-tools.txt
	touch $@
