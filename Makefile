# nightmill: `make` builds, `make help` lists the rest.

CC      ?= gcc
NVCC    ?= nvcc
OPT     ?= -O2 -g
SAN     ?=
WERROR  ?= -Werror
comma   := ,
# CUDA=auto  use nvcc if it is there (default)   CUDA=yes  stop if it is not   CUDA=no  CPU only
CUDA    ?= auto
NVCC_AT := $(shell command -v $(NVCC))
CU      := $(wildcard kernels/*.cu)
ifeq ($(CUDA)$(NVCC_AT),yes)
$(error CUDA=yes, but no '$(NVCC)')
endif
ifeq ($(CUDA),auto)
override CUDA := $(if $(and $(NVCC_AT),$(CU)),yes,no)
endif

VERSION := 0.1.0
# `make bench B=ops` means the benchmark; where things are built is not for the caller to say.
BENCH_OF := $(if $(filter command,$(origin B)),$(B))
override B := build/$(or $(SAN),release)-cuda-$(CUDA)
LIBS    := libzmq jansson libpcre2-8 libutf8proc sqlite3 libsodium
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wformat=2 -Wundef $(WERROR)
CFLAGS_ = -std=c17 -D_GNU_SOURCE -I. $(WARN) $(OPT) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) \
          -DNIGHTMILL_VERSION='"$(VERSION)"' -DNIGHTMILL_COMMIT='"$(COMMIT)"' $(PC_CFLAGS) $(CFLAGS)
# The program finds the libraries that `make dist` puts beside it, and theirs; so do the tests, one folder below.
RPATH   = -Wl,-rpath,'$$ORIGIN/lib:$$ORIGIN/../lib' -Wl,--disable-new-dtags
LDLIBS_ = $(PC_LIBS) -lmsgpackc -lm -lpthread -ldl $(RPATH) $(LDLIBS)
PC_CFLAGS  := $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
PC_LIBS    := $(shell pkg-config --libs $(LIBS) 2>/dev/null)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

DIRS  := base schema kernels model worker broker clients
SRC   := $(foreach d,$(DIRS),$(wildcard $(d)/*.c))
LIB   := $(patsubst %.c,$(B)/%.o,$(filter-out clients/main.c,$(SRC)))
TESTS := $(patsubst %.c,$(B)/%,$(wildcard tests/test_*.c))
E2E   := $(patsubst %.c,$(B)/%,$(wildcard tests/e2e_*.c))
HELP  := $(patsubst %.c,$(B)/%.o,$(filter-out $(wildcard tests/test_*.c tests/e2e_*.c tests/fuzz_*.c),$(wildcard tests/*.c)))

all: $(B)/nightmill $(if $(filter yes,$(CUDA)),$(B)/libnightmill-cuda.so) ## build/nightmill, the program
	@ln -sfn $(B:build/%=%)/nightmill build/nightmill
	@echo "built $(B)/nightmill (CUDA=$(CUDA))"

$(B)/libnightmill.a: $(LIB)
	@rm -f $@ && ar rcs $@ $^

$(B)/nightmill: $(B)/clients/main.o $(B)/libnightmill.a
	@echo "link $@"
	@$(CC) $(CFLAGS_) -o $@ $^ $(LDLIBS_)

$(TESTS) $(E2E): $(B)/%: $(B)/%.o $(HELP) $(B)/libnightmill.a
	@echo "link $@"
	@$(CC) $(CFLAGS_) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CHECK_LIBS) $(LDLIBS_)

# The bounds and the simulator are the benchmarks' own; their suites link them too.
$(B)/tests/test_ideal: $(addprefix $(B)/bench/,ideal.o ideal_rest.o lp.o)
$(B)/tests/test_chains: $(addprefix $(B)/bench/,batching.o chains.o sharing.o)
$(B)/tests/test_batching: $(addprefix $(B)/bench/,batching.o chains.o sharing.o)
$(B)/tests/test_cluster: $(addprefix $(B)/bench/,batching.o chains.o cluster.o cluster_broker.o cluster_rest.o jobs.o post.o sharing.o)

$(B)/tests/test_nomem: LDLIBS += $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc realloc strdup)
$(B)/tests/test_measured: $(patsubst %,$(B)/bench/%.o,fit fit_whole fit_layers csv curves report)
$(B)/tests/test_forward: LDLIBS += $(patsubst %,-Wl$(comma)--wrap=%,malloc calloc aligned_alloc)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "cc   $<"
	@$(CC) $(CFLAGS_) -MMD -MP -c -o $@ $<

$(B)/schema/sql.o: $(wildcard schema/*.sql)
$(B)/clients/version.o $(B)/worker/worker.o $(B)/worker/served.o: $(wildcard .git/logs/HEAD) # they name the commit

-include $(patsubst %.o,%.d,$(LIB) $(HELP)) $(addsuffix .d,$(TESTS) $(E2E)) $(B)/clients/main.d

deps: ## install the Debian packages that the build and the tests need
	@sh tests/deps.sh

demo: deps ## the main job on this machine: 2,000 messy cells in, clean answers in SQL out
	@$(MAKE) --no-print-directory all && sh examples/demo.sh

# Sanitizers are slow, and other programs want the cores too.
export CK_TIMEOUT_MULTIPLIER := $(if $(SAN),10,2)

test: $(TESTS) ## unit tests, no GPU: kernels run emulated
	@JOBS=$$(($$(nproc) * 2)) sh tests/run.sh $(TESTS)

e2e: all $(E2E) ## the real broker and workers, killed and started again
	@sh tests/run.sh $(E2E)

check: deps ## all that CI runs
	@sh tests/check.sh

asan: ## unit tests under AddressSanitizer and UBSan, emulated kernels in random order
	@EMU_ORDER=$${EMU_ORDER:-random:1} $(MAKE) --no-print-directory SAN=address,undefined OPT="-O1 -g1" test

tsan: ## the threaded parts under ThreadSanitizer
	@TSAN_OPTIONS=suppressions=tests/tsan.supp $(MAKE) --no-print-directory SAN=thread OPT="-O1 -g1" tsan-tests

tsan-tests: $(filter %/test_engine %/test_writer %/test_mailbox %/test_pool %/test_tokenizer %/test_coll %/test_tp %/test_sim %/test_link $(B)/tests/test_broker% %/test_zap,$(TESTS))
	@sh tests/run.sh $^

# Built by clang (Debian: clang, libclang-rt-14-dev) in a configuration of its own.
FUZZ := $(patsubst tests/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz_*.c))
FUZZ_SECONDS ?= 60
fuzz: ## a minute of libFuzzer on each parser, FUZZ_SECONDS=60
	@$(MAKE) --no-print-directory CC=clang SAN=address,fuzzer-no-link OPT="-O1 -g1" WERROR= fuzz-run

fuzz-short: ## ten seconds of each
	@$(MAKE) --no-print-directory FUZZ_SECONDS=10 fuzz

fuzz-run: $(FUZZ)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/fuzz.sh $(FUZZ)

$(FUZZ): $(B)/fuzz/%: $(B)/tests/%.o $(B)/tests/same_request.o $(LIB)
	@mkdir -p $(@D)
	@echo "link $@"
	@$(CC) $(CFLAGS_) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_)

-include $(FUZZ:$(B)/fuzz/%=$(B)/tests/%.d)

BENCH      := $(patsubst %.c,$(B)/%,$(wildcard bench/bench_*.c))
BENCH_MAKE := $(B)/bench/make_model
BENCH_HELP := $(patsubst %.c,$(B)/%.o,$(filter-out $(wildcard bench/bench_*.c) bench/make_model.c,$(wildcard bench/*.c)))
bench: $(if $(BENCH_OF),$(BENCH_OF:%=$(B)/bench/bench_%),$(filter-out %/bench_gpu,$(BENCH))) | all $(BENCH_MAKE) ## B=ops|engine|tokenizer|queue|schedule|unequal|fit|plan|gpu (default: all but gpu) ARGS=, one JSON line for each figure
	@NIGHTMILL_CUDA=$${NIGHTMILL_CUDA:-$(abspath $(B))/libnightmill-cuda.so}; export NIGHTMILL_CUDA; \
	  rc=0; for b in $^; do $$b $(ARGS) || rc=1; done; exit $$rc

$(BENCH) $(BENCH_MAKE): $(B)/%: $(B)/%.o $(BENCH_HELP) $(B)/libnightmill.a
	@echo "link $@"
	@$(CC) $(CFLAGS_) -o $@ $^ $(LDLIBS_)

$(B)/bench/report.o: $(wildcard .git/logs/HEAD) # it names the commit
-include $(BENCH:%=%.d) $(BENCH_MAKE).d $(BENCH_HELP:.o=.d)

charts: ## docs/charts/*.svg, by gnuplot, from the newest kept lines of bench_schedule, or RESULTS=FILE
	@sh bench/charts.sh $(RESULTS)

include mk/cuda.mk

# tests/bad/ holds what the gates must refuse.
FILES := $(filter-out tests/bad/%,$(shell git ls-files -co --exclude-standard))
FMT   := $(filter %.c %.h %.cu %.cuh %.cpp,$(FILES))
CLANG_FORMAT ?= clang-format-14
fmt: ## format the sources in place
	@$(CLANG_FORMAT) -i $(FMT)

gates: headers tour fmt-check options words ## the five below, and the proof that each of them can fail
	@sh tests/gate_selftest.sh "$(CLANG_FORMAT)"

headers: ## each header compiles alone, and includes point one way
	@CC="$(CC)" FLAGS="-std=c17 -D_GNU_SOURCE -I. $(WARN) $(PC_CFLAGS)" sh tests/gate_headers.sh

tour: ## the README's tour names functions that exist
	@sh tests/gate_tour.sh README.md

fmt-check: ## the sources are formatted
	@sh tests/gate_fmt.sh "$(CLANG_FORMAT)" $(FMT)

options: ## the manual pages name every option, and no other
	@sh tests/gate_options.sh

words: ## no home paths, tabs in C, trailing blanks, marks of things left to do
	@sh tests/gate_words.sh $(FILES)

# The short forms are in `make test` and `make e2e`; CHAOS=1 makes them long.
CHAOS := $(addprefix $(B)/tests/,test_power test_faults test_nomem e2e_log)
chaos: all $(B)/tests/e2e_kill $(B)/tests/e2e_chaos $(CHAOS) ## faults by the hundred: CHAOS_KILLS=500 of anything, CHAOS_ROUNDS=3 jobs on the engine, power cuts
	@CHAOS_KILLS=$(or $(CHAOS_KILLS),500) CHAOS_ROWS=$(or $(CHAOS_ROWS),100000) CHAOS_BROKER_KILLS=$(or $(CHAOS_BROKER_KILLS),100) \
	  CHAOS_POINT_ROUNDS=$(or $(CHAOS_POINT_ROUNDS),25) sh tests/run.sh $(B)/tests/e2e_chaos
	@for i in $$(seq $(or $(CHAOS_ROUNDS),3)); do sh tests/run.sh $(B)/tests/e2e_kill || exit 1; done
	@CHAOS=1 sh tests/run.sh $(CHAOS)

install: all ## PREFIX=/usr/local
	install -D $(B)/nightmill $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/nightmill

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' Makefile mk/*.mk | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: all deps demo test e2e check asan tsan tsan-tests fuzz fuzz-short fuzz-run bench charts chaos fmt gates headers tour fmt-check options words install clean help
.DELETE_ON_ERROR:
