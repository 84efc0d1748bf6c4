.DEFAULT_GOAL := help
SHELL := bash
SHOPS ?= 10000
LATENCY ?= 150ms
FOR ?= 10m
SEED ?= 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/rotator
	go build -trimpath -o bin/rotator ./cmd/rotator

.PHONY: test
test: ## run all tests
	go test ./...

.PHONY: race
race: ## run all tests with the race detector
	go test -race ./...

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: lint
lint: ## staticcheck
	go tool staticcheck ./...

.PHONY: fmt
fmt: ## format with gofumpt
	go tool gofumpt -w .

.PHONY: bench
bench: ## measure speed and memory, printed as ratios of one run
	go run ./bench

.PHONY: drill
drill: ## rehearse with SHOPS shops (10000) and LATENCY a call (150ms)
	go run ./cmd/rotator drill --shops $(SHOPS) --latency $(LATENCY)

.PHONY: soak
soak: ## do random harm to run after run FOR some time (10m), from SEED (1) on
	cd jobs && go test -run '^TestSoak$$' -timeout 0 -soak $(FOR) -soak.seed $(SEED)

.PHONY: check
check: ## everything that CI checks
	./.ci/run
