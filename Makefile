# Each target is one command from a fresh clone on a bare Debian 12: tests/run.sh installs what it needs, as root.

SECONDS ?= 60

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: ## record slow calls of real programs on a real kernel, and report them
	@tests/run.sh demo

test: ## build and install the wheel, then lint, check types, and run every test
	@tests/run.sh test

quick: ## the tests that need no guest, browser or long search, in under a minute
	@tests/run.sh quick

test-kernels: ## the same calls on every kernel, with the BCC and the Python of every Debian
	@tests/run.sh test-kernels

lint: ## ruff and mypy
	@tests/run.sh lint

bench: ## every benchmark
	@tests/run.sh bench

fuzz: ## every fuzzer, each for SECONDS (60)
	@tests/run.sh fuzz $(SECONDS)

soak: SECONDS = 600
soak: ## record as many calls as a guest bears, for SECONDS (600)
	@tests/run.sh soak $(SECONDS)

wheel: ## build the wheel into dist/
	@tests/run.sh wheel

zipapp: ## build the recorder as one file, dist/httprec.pyz
	@tests/run.sh zipapp

man: ## write man pages and shell completions into dist/share/
	@tests/run.sh man

.PHONY: help demo test quick test-kernels lint bench fuzz soak wheel zipapp man
