# Every target is what CI runs. `make help` lists them.
GO ?= go
PGO = cmd/hooklab/default.pgo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps build ## Bring the article's cluster up, send packets, take it down (root)
	examples/01-article/demo.sh bin/hooklab

build: ## Build bin/hooklab
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -o bin/ ./cmd/hooklab

test: ## Run all tests; as root it installs what they need and none may be skipped
	.ci/test

race: ## Run all tests under the race detector
	.ci/test -race

lint: ## Check style, import arrows and go.mod
	.ci/lint

fuzz: ## Fuzz all parsers and engines, FUZZTIME seconds altogether (180)
	.ci/fuzz

prove-vm: ## Run 100,000 random programs in the virtual machine and in the kernel (root)
	HOOKLAB_PROGRAMS=100000 $(GO) test ./dataplane/bytecode -run TestPrivilegedRandomPrograms -v -timeout 60m

prove: ## Compare the emulation with our twin on PACKETS generated packets (5000000), for hours; writes docs/PROVE.md
	.ci/prove

mutants: ## Let compare look for MUTANTS faults (200) made by chance in dataplane/emu; writes docs/MUTANTS.md
	$(GO) run ./internal/mutants -n $${MUTANTS:-200} -packets 60000 -o docs/MUTANTS.md

bench: ## Run all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

iperf: ## Let iperf3 send both ways for IPERF_SECONDS (60) between nodes on all three engines (root)
	HOOKLAB_IPERF_SECONDS=$${IPERF_SECONDS:-60} $(GO) test ./netns/lab -run TestPrivilegedMixedIperf -v -count=1

kill: ## Kill root's labs and an ordinary user's 30 times each at random moments and look what is left (root)
	HOOKLAB_KILLS=30 $(GO) test ./cmd/hooklab -run TestPrivilegedKilled -v -count=1

soak: ## Keep a lab under mixed load for SOAK (10m), looking for losses and leaks (root, iperf3, tshark)
	SOAK=$${SOAK:-10m} $(GO) test ./cmd/hooklab -run TestPrivilegedSoak -v -count=1 -timeout 60m

bench-lab: bench-start ## Measure labs beside the kernel and Open vSwitch, write docs/BENCHMARKS.md (root, iperf3, openvswitch-switch; 15 minutes)
	bin/benchlab -o docs/BENCHMARKS.md

bench-start: build ## Measure how long labs of up to 1,000 pods take to come and go; all pods must ping; writes docs/STARTUP.md (root, ping)
	$(GO) build -trimpath -o bin/ ./internal/benchlab
	bin/benchlab -startup -o docs/STARTUP.md

bench-engines: ## Measure a packet in each engine on each path, in turns; writes docs/ENGINES.md (root)
	$(GO) run -pgo=$(PGO) ./internal/benchengines -o docs/ENGINES.md

pgo: ## Profile the datapath for the compiler; writes cmd/hooklab/default.pgo
	$(GO) run -trimpath -pgo=off ./internal/benchengines -profile $(PGO)

golden: ## Rewrite the expected outputs; review the difference like code
	HOOKLAB_UPDATE=1 $(GO) test ./...

docs: ## Rewrite the tables that docs/CILIUM.md takes from the code
	HOOKLAB_UPDATE=1 $(GO) test ./dataplane/emu -run 'TestFunctionIndex|TestDifferencesAreListed'

bpf: ## Compile the BPF objects anew (clang 14); they are committed
	$(GO) generate ./bpf

check: lint test race ## Everything that a change must pass

deps: ## Install what tests and demo need beside Go (apt-get, root)
	.ci/deps

clean: ## Remove what was built
	rm -rf bin dist

bench-trace: build ## Measure trace beside version, and simulations of up to 2,000 nodes; writes docs/TRACE-BENCHMARKS.md
	$(GO) run ./internal/benchtrace

.PHONY: help demo build test race lint fuzz prove prove-vm mutants iperf kill soak bench bench-lab bench-start bench-engines pgo bench-trace golden docs bpf check deps clean
