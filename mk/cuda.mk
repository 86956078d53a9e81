# cuda.mk - the plug-in: nvcc's for a machine with a device, g++'s over kernels/emu for every machine.

# The devices to build for, 80 or sm_80, parted by blanks or commas; ptx120 is what the driver of a later one translates.
CUDA_ARCH ?= 90a
CUDA_CI   := 80,90a
CUDA_ALL  := 75,80,86,89,90a,100,120,ptx120
ARCHS     := $(patsubst sm_%,%,$(subst $(comma), ,$(CUDA_ARCH)))
GENCODE   := $(foreach a,$(filter-out ptx%,$(ARCHS)),-gencode=arch=compute_$a,code=sm_$a) \
             $(foreach a,$(patsubst ptx%,%,$(filter ptx%,$(ARCHS))),-gencode=arch=compute_$a,code=compute_$a)
BUILT_FOR := $(strip $(addprefix sm_,$(filter-out ptx%,$(ARCHS))) $(filter ptx%,$(ARCHS)))

PLUG_C     := $(filter-out %_cpu.c kernels/ops.c kernels/plugin.c,$(wildcard base/*.c kernels/*.c))
PLUG_O     := $(patsubst %.c,$(B)/plug/%.o,$(PLUG_C))
PLUG       := $(B)/plug/plug.a
DEVICE_CU  := %_blaslt.cu %_wgmma.cu # for a device only: the emulation has something in their place
EMU        := $(patsubst %.cu,$(B)/emu/%.o,$(filter-out $(DEVICE_CU),$(CU))) $(patsubst %.cpp,$(B)/emu/%.o,$(wildcard kernels/emu/*.cpp))
EMU_FLAGS   = -std=c++17 -D_GNU_SOURCE -DCUDA_EMU -I. -fPIC -fvisibility=hidden -Wall -Wextra \
              -Wno-unknown-pragmas $(WERROR) $(OPT) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
CUDA_O     := $(patsubst %.cu,$(B)/cuda/%.o,$(CU))
NVCC_FLAGS  = -std=c++17 -O3 -lineinfo --compress-mode=size -I. -D_GNU_SOURCE -DBUILT_FOR='"$(BUILT_FOR)"' \
              -Xcompiler -fPIC,-fvisibility=hidden,-Wall $(GENCODE)
# Beside the plug-in, as `make dist` puts them, and where the toolkit puts them.
CUDA_RPATH  = -Xlinker -rpath,'$$ORIGIN:$$ORIGIN/lib:/usr/local/cuda/lib64'

$(B)/plug/%.o: %.c Makefile
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

# What of C the plug-in calls, the linker takes.
$(PLUG): $(PLUG_O)
	@rm -f $@ && ar rcs $@ $^

$(B)/emu/%.o: %.cu Makefile mk/cuda.mk
	@mkdir -p $(@D)
	@echo "emu  $<"
	@$(CXX) $(EMU_FLAGS) -MMD -MP -x c++ -c -o $@ $<

$(B)/emu/%.o: %.cpp Makefile mk/cuda.mk
	@mkdir -p $(@D)
	@echo "emu  $<"
	@$(CXX) $(EMU_FLAGS) -MMD -MP -c -o $@ $<

$(B)/libnightmill-emu.so: $(EMU) $(PLUG)
	@echo "link $@"
	@$(CXX) $(EMU_FLAGS) -shared -o $@ $^ -lm -lpthread -ldl

# Other devices, other objects: the file changes when the list does.
$(B)/cuda/archs: FORCE
	@mkdir -p $(@D)
	@echo '$(BUILT_FOR)' | cmp -s - $@ || echo '$(BUILT_FOR)' >$@
FORCE:

$(B)/cuda/%.o: %.cu $(B)/cuda/archs Makefile mk/cuda.mk
	@mkdir -p $(@D)
	@echo "nvcc $< ($(BUILT_FOR))"
	@$(NVCC) $(NVCC_FLAGS) -MMD -MP -c -o $@ $<

$(B)/libnightmill-cuda.so: $(CUDA_O) $(PLUG)
	@echo "link $@"
	@$(NVCC) $(NVCC_FLAGS) $(CUDA_RPATH) -shared -o $@ $^ -lcublasLt -ldl

-include $(EMU:.o=.d) $(PLUG_O:.o=.d) $(CUDA_O:.o=.d)

# The suites that open the plug-in: beside their build's folder lies the emulation.
CUDA_TESTS := $(filter $(B)/tests/test_cuda_% $(B)/tests/test_emu%,$(TESTS))
CUDA_E2E   := $(B)/tests/e2e_cuda $(B)/tests/e2e_cuda_rows
CUDA_BENCH := $(B)/bench/bench_gpu $(B)/bench/bench_quality
$(CUDA_TESTS) $(CUDA_E2E) $(CUDA_BENCH): | $(B)/libnightmill-emu.so

# Libraries of NVIDIA's that no machine of CI has, as the tests' own.
$(B)/tests/fake/%.so: tests/fake/%.c Makefile
	@mkdir -p $(@D)
	@echo "fake $<"
	@$(CC) $(CFLAGS_) -fPIC -shared -o $@ $<
$(B)/tests/fake/libcufake.so.1: tests/fake/cufake.c Makefile
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_) -fPIC -shared -Wl,-soname,$(@F) -o $@ $<
$(B)/tests/fake/plugin.so: tests/fake/plugin.c $(B)/tests/fake/libcufake.so.1
	@echo "fake $<"
	@$(CC) $(CFLAGS_) -fPIC -shared -o $@ $^
$(B)/tests/test_plugin: | $(B)/tests/fake/plugin.so
$(B)/tests/test_nvml: | $(B)/tests/fake/nvml.so
$(B)/tests/test_cuda_coll $(B)/tests/test_cuda_engine $(B)/tests/e2e_cuda_ends: | $(B)/tests/fake/nccl.so
$(B)/tests/e2e_cuda_ends: | $(B)/libnightmill-emu.so $(B)/nightmill

EMU_SEED ?= 1
EMU_ORDERS ?= reverse random:$(EMU_SEED)
emu-orders: $(CUDA_TESTS) ## the emulated kernels with threads and blocks in reverse, and in random order (EMU_SEED=1)
	@for order in $(EMU_ORDERS); do \
	    echo "EMU_ORDER=$$order" && EMU_ORDER=$$order JOBS=$$(nproc) sh tests/run.sh $^ || exit 1; done

# nvcc's own part of CI.  Its tools come from PyPI where the machine has none.
CUDA_TOOLS := build/cuda-tools
cuda: ## the plug-in by nvcc for CUDA_ARCH=80,90a, and a look into its tensor-core kernels; REQUIRE_CUDA=1: no nvcc, no luck
	@sh tests/cuda_deps.sh $(CUDA_TOOLS) || exit $${REQUIRE_CUDA:-0}; PATH="$$(cat $(CUDA_TOOLS)/path)$$PATH"; export PATH; \
	    $(MAKE) --no-print-directory CUDA=yes CUDA_ARCH=$(if $(filter command,$(origin CUDA_ARCH)),$(CUDA_ARCH),$(CUDA_CI)) sass

sass: $(B)/libnightmill-cuda.so ## the kernels of tests/sass.txt hold the instructions that it names
	@sh tests/gate_sass.sh tests/sass.txt $(CUDA_O)

# What runs on a machine with a device, and how it gets there.
GPU_PARTS := all $(CUDA_TESTS) $(CUDA_E2E) $(CUDA_BENCH) $(B)/bench/make_model
gpu-check: $(GPU_PARTS) ## every op, the whole system and the benchmarks on this machine's device: ONLY=ops|e2e|bench
	@ONLY="$(ONLY)" sh tests/gpu_check.sh $(B)

gpu-check-emu: $(GPU_PARTS) ## gpu-check itself, in small, on the emulation (ONLY=bench)
	@rm -rf $(B)/gpu-check && GPU_CHECK_EMU=1 GPU_CHECK_DIR=$(B)/gpu-check NIGHTMILL_CUDA=$(abspath $(B))/libnightmill-emu.so \
	    ONLY="$(or $(ONLY),bench)" sh tests/gpu_check.sh $(B)

dist: ## build/dist: a folder that runs on a bare machine, the plug-in in it for all devices (CUDA_ARCH=90a: for some)
	@$(MAKE) --no-print-directory CUDA_ARCH=$(if $(filter command,$(origin CUDA_ARCH)),$(CUDA_ARCH),$(CUDA_ALL)) dist-folder

dist-folder: $(GPU_PARTS)
	@sh clients/dist.sh $(B) build/dist/nightmill-$(VERSION)

.PHONY: FORCE emu-orders cuda sass gpu-check gpu-check-emu dist dist-folder

# emulation: its own suites, of kernels that are right and kernels that are not
# The device alone: what ends in _emu.cpp stands in for a library, and is the ops'.
EMU_CORE  := $(patsubst %.cpp,$(B)/emu/%.o,$(filter-out %_emu.cpp,$(wildcard kernels/emu/*.cpp)))
EMU_TESTS := $(patsubst %.cu,$(B)/%,$(wildcard tests/test_emu*.cu))
$(EMU_TESTS): $(B)/%: $(B)/emu/%.o $(EMU_CORE)
	@mkdir -p $(@D)
	@echo "link $@"
	@$(CXX) $(EMU_FLAGS) -o $@ $^ $(CHECK_LIBS) -lm -lpthread

-include $(EMU_TESTS:$(B)/%=$(B)/emu/%.d)
