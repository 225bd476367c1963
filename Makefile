# Targets are listed by `make help`. Everything that a target needs from Debian
# is installed by `make deps`; Go modules come by themselves.

SHELL := /bin/bash
OUT   := out
GO    := go
# Debian packages: what builds test programs, what they are compared with, and
# what the images are made of.
PACKAGES := gcc g++ libc6-dev libseccomp-dev libgmp10 libssl3 libstdc++6 make autoconf automake musl-tools binutils busybox-static mmdebstrap qemu-user-static runc wabt clang lld wasi-libc libclang-rt-14-dev-wasm32 liblua5.4-dev libsqlite3-dev dpkg-dev python3 xz-utils

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: deps
deps: ## Install the Debian packages that tests and examples need
	@missing=(); for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=($$p); done; \
	if (($${#missing[@]})); then echo "installing $${missing[*]}"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" > /dev/null; fi

.PHONY: build
build: ## Build bin/megabin: one file, plugins included
	GOOS=wasip1 GOARCH=wasm $(GO) build -trimpath -buildmode=c-shared -ldflags='-s -w' -o cmd/megabin/embed/analyze-elf.wasm ./plugins/analyze-elf/module
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/megabin ./cmd/megabin

.PHONY: run
run: deps build ## The main job on a real image: build it, run it, show what happened
	@bash test/images/show.sh

.PHONY: test
test: deps build ## Everything that CI needs
	$(GO) test -timeout 20m ./...

.PHONY: test-images
test-images: deps build ## Debian programs in rebuilt images against a chroot of the same (half an hour, root)
	MEGABIN_IMAGES=$(abspath $(OUT))/images $(GO) test -count=1 -timeout 3h -v -tags images -run TestImages ./test/programs

.PHONY: check
check: build ## Formatting, vet, import arrows, generated files, tidiness
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) test -count=1 ./internal/archtest ./tools/...
	@bash -n .ci/run test/images/show.sh test/images/analyze-debian.sh

.PHONY: race
race: deps build ## The vkernel's own tests, and programs with threads, under the race detector
	$(GO) test -race -timeout 20m ./vkernel/... ./engine/...
	$(GO) test -race -timeout 20m -run 'TestStress|TestPanic' ./test/scale

.PHONY: oracle
oracle: deps ## Instruction cases on the real CPU; UPDATE=1 rewrites the expected columns
	UPDATE=$(UPDATE) NATIVE_CASES=1000000 $(GO) test -count=1 -timeout 1h ./plugins/recompile/internal/...

SEED ?= 1
SEEDS ?= 10
COUNT ?= 1000000
STATES ?= 1
WASM ?= 32
.PHONY: fuzz-cpu
fuzz-cpu: deps ## COUNT distinct random sequences of each of SEEDS seeds from SEED on, on STATES states, on the real CPU and through us, one of WASM as wasm too
	FUZZ_COUNT=$(COUNT) ORACLE_SEED=$(SEED) FUZZ_SEEDS=$(SEEDS) FUZZ_STATES=$(STATES) FUZZ_WASM=$(WASM) GOGC=800 $(GO) test -count=1 -v -timeout 24h -run '^TestFuzz$$' ./plugins/recompile/internal/oracle

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## Every Fuzz function for FUZZTIME (10s)
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

.PHONY: bench
bench: deps build ## Code and system calls against native, qemu-user, runc, gVisor (built once, some minutes); JSON lines and a table
	$(GO) run ./test/bench -out $(OUT)/bench

ENGINES_TIME ?= 60s
.PHONY: engines
engines: ## wazero's compiler against its interpreter on random programs for ENGINES_TIME (60s)
	ENGINES_TIME=$(ENGINES_TIME) $(GO) test -count=1 -v -timeout 24h -run TestEnginesAgree ./plugins/recompile/internal/engines

.PHONY: tcg
tcg: deps build ## QEMU's x86-64 test programs on the CPU and here; fetches QEMU's source
	$(GO) run ./test/tcg -out $(OUT)/tcg

.PHONY: analyze-debian
analyze-debian: build ## What the analysis finds in a Debian image with python, perl, git, nginx, ... and two npm programs
	@bash test/images/analyze-debian.sh $(OUT)/analyze-debian

SOAK ?= 1h
.PHONY: soak
soak: deps build ## Mixed work in many containers of one process for SOAK (1h); fails on growth
	$(GO) run ./test/soak -for $(SOAK) -out $(OUT)/soak

LTP_SRC ?=
LIST ?=
.PHONY: ltp
ltp: deps build ## LTP's syscall tests of LIST against Linux; LTP_SRC is your checkout of LTP
	$(GO) run ./test/ltp -src '$(LTP_SRC)' -list '$(LIST)' -out $(OUT)/ltp

LIBC_TEST_SRC ?=
.PHONY: libc-test
libc-test: deps build ## musl's libc-test against Linux; LIBC_TEST_SRC is your checkout of it
	$(GO) run ./test/libctest -src '$(LIBC_TEST_SRC)' -out $(OUT)/libc-test

.PHONY: busybox-test
busybox-test: deps build ## busybox's own test suite against Linux (root); fetches its source
	$(GO) run ./test/bbsuite -out $(OUT)/busybox

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin $(OUT) cmd/megabin/embed/*.wasm
