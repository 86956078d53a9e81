# nightmill: `make` builds, `make help` lists the rest.

CC      ?= gcc
NVCC    ?= nvcc
OPT     ?= -O2 -g
SAN     ?=
WERROR  ?= -Werror
# CUDA=auto  use nvcc if it is there (default)   CUDA=yes  stop if it is not   CUDA=no  CPU only
CUDA      ?= auto
CUDA_ARCH ?= sm_90a
NVCC_AT   := $(shell command -v $(NVCC))
CU        := $(wildcard kernels/*.cu)
ifeq ($(CUDA)$(NVCC_AT),yes)
$(error CUDA=yes, but no '$(NVCC)')
endif
ifeq ($(CUDA),auto)
override CUDA := $(if $(and $(NVCC_AT),$(CU)),yes,no)
endif

VERSION := 0.1.0
B       := build/$(or $(SAN),release)-cuda-$(CUDA)
LIBS    := libzmq jansson libpcre2-8 libutf8proc sqlite3 libsodium
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wformat=2 -Wundef $(WERROR)
CFLAGS_ = -std=c17 -D_GNU_SOURCE -I. $(WARN) $(OPT) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) \
          -DNIGHTMILL_VERSION='"$(VERSION)"' -DNIGHTMILL_COMMIT='"$(COMMIT)"' $(PC_CFLAGS) $(CFLAGS)
LDLIBS_ = $(PC_LIBS) -lmsgpackc -lm -lpthread $(LDLIBS)
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

all: $(B)/nightmill ## build/nightmill, the program (and the CUDA plug-in where nvcc is)
	@ln -sfn $(B:build/%=%)/nightmill build/nightmill
	@echo "built $(B)/nightmill (CUDA=$(CUDA))"

$(B)/libnightmill.a: $(LIB)
	@rm -f $@ && ar rcs $@ $^

$(B)/nightmill: $(B)/clients/main.o $(B)/libnightmill.a
	@echo "link $@"
	@$(CC) $(CFLAGS_) -o $@ $^ $(LDLIBS_)

$(TESTS) $(E2E): $(B)/%: $(B)/%.o $(HELP) $(B)/libnightmill.a
	@echo "link $@"
	@$(CC) $(CFLAGS_) -o $@ $^ $(CHECK_LIBS) $(LDLIBS_)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "cc   $<"
	@$(CC) $(CFLAGS_) -MMD -MP -c -o $@ $<

$(B)/schema/sql.o: $(wildcard schema/*.sql)

-include $(patsubst %.o,%.d,$(LIB) $(HELP)) $(addsuffix .d,$(TESTS) $(E2E)) $(B)/clients/main.d

deps: ## install the Debian packages that the build and the tests need
	@sh tests/deps.sh

demo: deps ## the main job on this machine: 2,000 messy cells in, clean answers in SQL out
	@$(MAKE) --no-print-directory all && sh examples/demo.sh

test: $(TESTS) ## unit tests, under 10 s, no GPU
	@sh tests/run.sh $(TESTS)

e2e: all $(E2E) ## the real broker and workers, killed and started again; the default model's accuracy
	@sh tests/run.sh $(E2E)

check: deps ## all that CI runs
	@sh tests/check.sh

asan: ## unit tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory SAN=address,undefined OPT="-O1 -g" test

tsan: ## the threaded parts under ThreadSanitizer
	@TSAN_OPTIONS=suppressions=tests/tsan.supp $(MAKE) --no-print-directory SAN=thread OPT="-O1 -g" tsan-tests

tsan-tests: $(filter %/test_engine %/test_writer %/test_mailbox %/test_pool %/test_broker,$(TESTS))
	@sh tests/run.sh $^

# Built by clang (Debian: clang, libclang-rt-14-dev) in a configuration of its own.
FUZZ := $(patsubst tests/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz_*.c))
FUZZ_SECONDS ?= 60
fuzz: ## a minute of libFuzzer on each parser, FUZZ_SECONDS=60
	@$(MAKE) --no-print-directory CC=clang SAN=address,fuzzer-no-link OPT="-O1 -g" WERROR= fuzz-run

fuzz-run: $(FUZZ)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/fuzz.sh $(FUZZ)

$(FUZZ): $(B)/fuzz/%: $(B)/tests/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_)

-include $(FUZZ:$(B)/fuzz/%=$(B)/tests/%.d)

FMT := $(shell git ls-files '*.c' '*.h' '*.cu' '*.cuh')
CLANG_FORMAT ?= clang-format-14
fmt: ## format the sources in place
	@$(CLANG_FORMAT) -i $(FMT)

fmt-check: ## fails on one bad file, and on an empty list
	@sh tests/gate_fmt.sh "$(CLANG_FORMAT)" $(FMT)

headers: ## each header compiles alone, and includes point one way
	@CC="$(CC)" sh tests/gate_headers.sh

tour: ## the README's tour names functions that exist
	@sh tests/gate_tour.sh README.md

install: all ## PREFIX=/usr/local
	install -D $(B)/nightmill $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/nightmill

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: all deps demo test e2e check asan tsan tsan-tests fuzz fuzz-run fmt fmt-check headers tour install clean help
.DELETE_ON_ERROR:
