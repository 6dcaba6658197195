# Each target is one command from a fresh clone on a bare Debian 12: tools/run.sh installs what it needs, as root.

SECONDS ?= 60

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST)

demo: ## record slow calls of real programs on a real kernel, and report them
	@tools/run.sh demo

test: ## build and install the wheel, then lint, check types, and run every test
	@tools/run.sh test

quick: ## the tests that need no guest, browser or long search, in under a minute
	@tools/run.sh quick

test-kernels: ## the same calls on every kernel, with the BCC and the Python of every Debian
	@tools/run.sh test-kernels

test-clients: ## calls of every client by every protocol, against the clients' own clocks, and Java's stacks
	@tools/run.sh test-clients

lint: ## ruff and mypy
	@tools/run.sh lint

bench: ## every benchmark
	@tools/run.sh bench

fuzz: ## every fuzzer, each for SECONDS (60)
	@tools/run.sh fuzz $(SECONDS)

soak: SECONDS = 600
soak: ## record as many calls as a guest bears, for SECONDS (600)
	@tools/run.sh soak $(SECONDS)

wheel: ## build the wheel into dist/
	@tools/run.sh wheel

zipapp: ## build the recorder as one file, dist/httprec.pyz
	@tools/run.sh zipapp

man: ## write man pages and shell completions into dist/share/
	@tools/run.sh man

.PHONY: help demo test quick test-kernels test-clients lint bench fuzz soak wheel zipapp man
