# tests.mk: targets test, check, bench, demo and what they build; included by the
# Makefile. tests/suite.sh says what is run, in which order.

# --- C unit tests: build/MODE/unit/test_X, against every object but main ----------
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(UNIT_SRCS:tests/unit/%.c=$(B)/unit/%)
# The codec of a binding is tested without the binding.
UNIT_MORE_test_resp := $(B)/src/bind/resp.o $(B)/src/bind/resp_lua.o
UNIT_MORE_test_pg_sql := $(patsubst %.c,$(B)/%.o,$(wildcard src/bind/pg_sql*.c))
UNIT_LIBS_test_pg_sql := -l:libpg_query.a
UNIT_MORE_test_session := $(B)/src/repl/place.o $(B)/src/repl/keys.o
UNIT_MORE := $(UNIT_MORE_test_resp) $(UNIT_MORE_test_pg_sql) \
	$(UNIT_MORE_test_session)
unit: $(UNIT_BINS)
$(B)/unit/%: $(B)/tests/unit/%.o $(LIB_OBJS) $(UNIT_MORE)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) -no-pie -rdynamic -o $@ $< $(LIB_OBJS) \
		$(UNIT_MORE_$*) $(EXE_LIBS) $(UNIT_LIBS_$*) -lcmocka

# --- fuzz targets: build/fuzz/fuzz_X, clang's libFuzzer ------------------------
# fuzz_X.c, or lua_fuzz.c with fuzz_X.lua (and native_X.c, where there is one).
FUZZ_B := build/fuzz
fuzz_bins = $(patsubst tests/fuzz/$(1),$(FUZZ_B)/fuzz_%,$(wildcard \
	$(subst %,*,tests/fuzz/$(1))))
FUZZ_C_BINS := $(call fuzz_bins,fuzz_%.c)
FUZZ_LUA_BINS := $(call fuzz_bins,fuzz_%.lua)
FUZZ_NATIVE_BINS := $(call fuzz_bins,native_%.c)
FUZZ_BINS := $(FUZZ_C_BINS) $(FUZZ_LUA_BINS)
FUZZ_FLAGS := -std=c11 -D_GNU_SOURCE -DOPSH_TEST -DOPSH_VERSION='"$(VERSION)"' \
	-O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -Isrc $(LUA_CFLAGS) $(PQ_CFLAGS)
FUZZ_LIB_SRCS := $(filter-out src/main.c,$(EXE_SRCS)) src/bind/resp.c \
	src/bind/resp_lua.c $(call bind_srcs,json) $(call bind_srcs,http) \
	$(call bind_srcs,pg) $(call bind_srcs,kafka) src/repl/keys.c
FUZZ_OBJS := $(FUZZ_LIB_SRCS:%.c=$(FUZZ_B)/%.o) $(FUZZ_B)/embedded.o
fuzz: $(FUZZ_BINS)
$(FUZZ_B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(CLANG) $(DEPFLAGS) $(FUZZ_FLAGS) -c -o $@ $<
$(FUZZ_B)/embedded.c: build/tools/embed src/tools/stubs.lua $(LUA_FILES)
	@mkdir -p $(@D)
	$(Q)build/tools/embed src/tools/stubs.lua $(LUA_FILES) > $@
$(FUZZ_B)/embedded.o: $(FUZZ_B)/embedded.c
	$(Q)$(CLANG) $(FUZZ_FLAGS) -c -o $@ $<
$(FUZZ_B)/libopsh.a: $(FUZZ_OBJS)
	$(Q)rm -f $@ && ar rcs $@ $(FUZZ_OBJS)
$(FUZZ_LUA_BINS:$(FUZZ_B)/fuzz_%=$(FUZZ_B)/lua/%.o): $(FUZZ_B)/lua/%.o: \
		tests/fuzz/lua_fuzz.c
	@mkdir -p $(@D)
	$(call say,FUZZ,tests/fuzz/fuzz_$*.lua)
	$(Q)$(CLANG) $(DEPFLAGS) $(FUZZ_FLAGS) -DFUZZ_NAME='"$*"' -c -o $@ $<
$(FUZZ_C_BINS): $(FUZZ_B)/%: $(FUZZ_B)/tests/fuzz/%.o
$(FUZZ_LUA_BINS): $(FUZZ_B)/fuzz_%: $(FUZZ_B)/lua/%.o
$(FUZZ_NATIVE_BINS): $(FUZZ_B)/fuzz_%: $(FUZZ_B)/tests/fuzz/native_%.o
$(FUZZ_BINS): $(FUZZ_B)/libopsh.a
	$(call say,LINK,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -no-pie -o $@ \
		$(filter %.o,$^) $(FUZZ_B)/libopsh.a $(EXE_LIBS) -ljansson -lcurl \
		-lssl -lcrypto -lpq -l:libpg_query.a -lrdkafka
-include $(shell find $(FUZZ_B) -name '*.d' 2>/dev/null)

# --- the targets ------------------------------------------------------------------
# Each mode is a make of its own: a mode is a variable of the whole build.
build-test: deps
	@$(MAKE) --no-print-directory MODE=release all
	@$(MAKE) --no-print-directory MODE=test all
	@$(MAKE) --no-print-directory MODE=asan all unit
	@$(MAKE) --no-print-directory MODE=tsan tsan
	@$(MAKE) --no-print-directory fuzz
test: build-test
	@tests/suite.sh
check: deps
	@tests/check.sh
bench: deps
	@$(MAKE) --no-print-directory MODE=release all
	@tests/bench/bench.py
demo:
	@tests/deps.sh build demo
	@$(MAKE) --no-print-directory MODE=release all
	@examples/demo.sh
# What tests/tsan.sh runs.
tsan: $(B)/opsh $(foreach b,json fs exec kafka,$(B)/lib/$(b).so)
.PHONY: unit fuzz tsan build-test
