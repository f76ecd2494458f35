# Everyday commands. `make run` and `make test` need Rust, make and a C compiler, and no account anywhere.

CARGO ?= cargo
MESSAGES ?= 500
SCHEDULES ?= 100000

.PHONY: run demo build test schedules beside bench faults busy-day sweep lint fmt doc clean help

run: ## build, then show it at work against the built-in sandbox, until Ctrl-C
	$(CARGO) build --release --locked
	./target/release/trunkline demo

demo: ## the same, to its end: a ledger of what was produced, forwarded, delivered and lost
	$(CARGO) build --release --locked
	./target/release/trunkline demo --messages $(MESSAGES) --json

build: ## the release binary, target/release/trunkline
	$(CARGO) build --release --locked

test: ## every test; the clients of others too, where python3 is there
	./tests/run

schedules: ## 100,000 random schedules of the supervisor against a model of OTP, as many histories of updates; SEED= repeats a run
	TRUNKLINE_SCHEDULES=$(SCHEDULES) $(if $(SEED),TRUNKLINE_SEED=$(SEED)) \
	$(CARGO) test --locked --lib -- --nocapture --test-threads=1 as_under_otp told_once_and_in_order crash_at_once tenth_of_a_second while_others_crash

beside: ## 500 random histories played to the daemon and to mtcute at once (needs node); HISTORIES= and SEED= change them
	TRUNKLINE_REQUIRE_INTEROP=1 TRUNKLINE_BESIDE=$(or $(HISTORIES),500) $(if $(SEED),TRUNKLINE_SEED=$(SEED)) \
	$(CARGO) test --locked --test it -- --nocapture the_daemon_tells_all_that_mtcute_tells

bench: ## what it costs and how fast it is, each figure beside a named floor; QUICK=1 is a short form
	./benches/run $(if $(QUICK),--quick)

faults: ## the fault campaign, with its table; ROUNDS=3 is a short form, SEED= and CLASS= narrow it
	$(CARGO) build --release --locked --features fault-points
	cp target/release/trunkline target/release/trunkline-fault-points
	$(CARGO) build --release --locked
	TRUNKLINE_FAULT_POINTS_BINARY=$(CURDIR)/target/release/trunkline-fault-points \
	$(CARGO) test --release --locked --quiet --test faults -- --campaign \
	$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(CLASS),--class "$(CLASS)")

busy-day: ## ten minutes of twenty sessions, forty pairs and all that happens to accounts and chats; SEED= repeats a day
	$(CARGO) build --release --locked
	$(CARGO) test --release --locked --quiet --test faults -- --busy-day $(if $(SEED),--seed $(SEED)) $(if $(SHORT),--short)

sweep: ## every error that Telegram documents, given to accounts at work; SEED= repeats it, QUICK=1 is a tenth, CLASS= narrows it
	$(CARGO) build --release --locked
	$(CARGO) test --release --locked --quiet --test faults -- --sweep $(if $(SEED),--seed $(SEED)) $(if $(QUICK),--short) \
	$(if $(CLASS),--class "$(CLASS)")

lint: ## what must be clean before a change lands
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

fmt:
	$(CARGO) fmt

doc: ## the code's own documentation, in target/doc
	$(CARGO) doc --locked --no-deps --open

clean:
	$(CARGO) clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'
