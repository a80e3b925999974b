# The menu. Every target that needs .venv makes it first; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help install lint format test test-slow demo bench bench-faults bench-restore fuzz schemas audit sbom clean

BIN := .venv/bin
STAMP := .venv/.installed
TOOLS := .tools/.installed
PACKAGES := schemas models streams ops
# What else to hand to pytest, e.g. `make test ARGS=tests/models`.
ARGS ?=
# How many processes run tests; each starts a broker of its own when a test asks for one.
JOBS ?= 2

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## set up .venv, with the trainer and the development tools

$(STAMP): pyproject.toml constraints.txt
	@.ci/install

lint: $(STAMP) ## run ruff, mypy strict, and the checks of import layers and cycles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/no_cycles schemas models streams ops

format: $(STAMP) ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(STAMP) ## run every promise's proof, on real brokers; prints at its end what was skipped
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist loadfile $(ARGS)

test-slow: $(STAMP) ## run the long forms: faults, demos, benchmarks, nights, all examples
	$(BIN)/python -m pytest -m slow -n $(JOBS) $(ARGS)
	HARK_TEST_EXAMPLES=all $(BIN)/python -m pytest -m "hypothesis and not slow" -n $(JOBS) --dist loadfile $(ARGS)

demo: $(STAMP) ## run everything at once and print a summary; DATA=file.csv for your own events
	$(BIN)/hark demo $(if $(DATA),--data "$(DATA)") $(ARGS)

bench: $(STAMP) ## measure events/s, compared with Faust alone
	$(BIN)/hark bench ingest $(ARGS)

bench-faults: $(STAMP) ## break workers, brokers and the network for minutes, and count the losses
	$(BIN)/hark bench faults $(ARGS)

bench-restore: $(STAMP) ## save and restore the state of a million users
	$(BIN)/hark bench restore $(ARGS)

fuzz: $(STAMP) ## try 100,000 odd records and 2,000 damaged models; fuzz the codec by coverage
	$(BIN)/python -m tests.fuzz codec --count 100000 $(ARGS)
	$(BIN)/python -m tests.fuzz artefacts --count 2000 $(ARGS)
	@$(BIN)/pip install -q -c constraints.txt atheris || echo "no atheris for this Python: no guided part"
	@! $(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m tests.fuzz.guided -max_total_time=60

schemas: $(STAMP) ## write the JSON Schema files and the AsyncAPI document again
	$(BIN)/hark schemas generate

audit: $(TOOLS) ## check every pinned package for known vulnerabilities; exits with 2 if offline
	@.tools/bin/python .ci/audit

sbom: $(STAMP) $(TOOLS) ## write sbom.json, the contents of .venv as CycloneDX
	@.tools/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml \
		--output-reproducible --of JSON -o sbom.json
	@.tools/bin/python .ci/sbom_covers sbom.json $(BIN)/python

$(TOOLS): .ci/tools.txt $(STAMP)
	@rm -rf .tools && $(BIN)/python -m venv .tools
	@.tools/bin/python -m pip install -q --no-deps -r .ci/tools.txt && touch $(TOOLS)

clean: ## remove .venv and all caches of this checkout
	rm -rf .venv .tools build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
