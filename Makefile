# Every task of the house. `make help` lists them; the longer ones are scripts in tools/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
PKG         ?= ./...
TESTFLAGS   ?=
ARGS        ?=
FUZZTIME    ?= 20s
KERNELS     ?= 5.10 6.1 6.12 7
KERNEL      ?= 6.12
ARCHS       ?= amd64 arm64

# sudo takes the usual place of Go out of PATH.
export PATH := $(PATH):/usr/local/go/bin

# The compiler of the committed BPF objects: another one makes other bytes.
export BPF2GO_CC    ?= clang-19
export BPF2GO_STRIP ?= llvm-strip-19

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what running and testing need (Debian, root)
	@tools/setup.sh run test

# grpcnotrace leaves out what gRPC has for its own debugging, a quarter of the binary.
.PHONY: build
build: ## build bin/rollcage
	@tools/setup.sh build
	CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags '-s -w -X rollcage/internal/cli.version=$(VERSION)' -o bin/rollcage ./cmd/rollcage

.PHONY: run
run: build ## guard this machine: print alerts, keep incidents (root; ARGS="-o json")
	@[ "$$(id -u)" = 0 ] || { echo 'make run: reading live events needs root; try: sudo make run' >&2; exit 1; }
	@exec bin/rollcage guard $(ARGS)

.PHONY: test
test: ## run all tests with the container runtimes, image and sysdig that they need (PKG=./internal/cli TESTFLAGS=-v)
	@tools/test.sh $(TESTFLAGS) $(PKG)

.PHONY: check
check: lint ## lint, and run all tests with the race detector
	@tools/setup.sh check
	@tools/test.sh -race $(TESTFLAGS) $(PKG)

.PHONY: lint
lint: ## format, vet, staticcheck, shell scripts, generated files
	@tools/lint.sh $(STATICCHECK)

.PHONY: generate
generate: ## make generated files anew: BPF objects, tables
	@tools/setup.sh generate
	go generate ./...

.PHONY: web
web: ## build the pages of the browser interface anew (Node; the build is committed)
	cd internal/inspect/web && npm ci --no-audit --no-fund && npm run check && npm run build
	go test -run TheseSources ./internal/inspect/web -update

.PHONY: bench
bench: ## measure Rollcage and its peers (ARGS="-only replay")
	@tools/setup.sh bench
	bench/run.sh $(ARGS)

.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME each (FUZZTIME=20s PKG=./internal/...)
	@tools/fuzz.sh $(FUZZTIME) $(PKG)

.PHONY: kernels
kernels: ## run the probe's tests under other kernels (KERNELS="5.10 6.1 6.12 7" ARCHS="amd64 arm64")
	mkdir -p .cache
	for arch in $(ARCHS); do \
		GOARCH=$$arch CGO_ENABLED=0 go test -c -o .cache/probe-$$arch.test ./internal/observe/probe; \
		for kernel in $(KERNELS); do \
			echo "== Linux $$kernel, $$arch"; \
			tools/kernel.sh -a $$arch $$kernel .cache/probe-$$arch.test -test.v $(TESTFLAGS); \
		done; \
	done

.PHONY: clock
clock: ## set the clock of an emulated machine while guard runs there (KERNEL=6.12)
	@tools/clock.sh $(KERNEL)

.PHONY: clean
clean: ## remove what was built; .cache/ with fetched kernels and sysdigs stays
	rm -rf bin
