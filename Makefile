# opsh: non-recursive build. `make help` lists the targets.
MODE    ?= release
SAN     ?=
V       ?=
DEVELOPER ?=
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
CLANG   ?= clang
PKGCONF ?= pkg-config
B       := build/$(MODE)

Q := $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-5s %s\n' $(1) $(2))

# --- flags ------------------------------------------------------------------
MODE_release := -O2 -g
MODE_debug   := -O0 -g3
MODE_test    := -O1 -g -DOPSH_TEST
MODE_asan    := -O1 -g -DOPSH_TEST -fno-omit-frame-pointer
MODE_tsan    := -O1 -g -DOPSH_TEST -fno-omit-frame-pointer
ifeq ($(MODE),asan)
SAN := address,undefined
endif
ifeq ($(MODE),tsan)
SAN := thread
endif
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wvla -Wformat=2 -Wno-format-nonliteral
ifneq ($(DEVELOPER),)
WARN += -Werror
endif
LUA_CFLAGS := $(shell $(PKGCONF) --cflags lua5.4 2>/dev/null)
VERSION := 0.1.0
# libpq's header is in a folder of its own on some systems
PQ_CFLAGS := $(shell $(PKGCONF) --cflags libpq 2>/dev/null)
OUR_CFLAGS := -std=c11 -D_GNU_SOURCE -DOPSH_VERSION='"$(VERSION)"' \
	$(MODE_$(MODE)) $(WARN) $(SANFLAGS) -fPIC -Isrc -I$(B) $(LUA_CFLAGS) \
	$(PQ_CFLAGS)
DEPFLAGS = -MMD -MP
# Static where it counts: start-up is the exec, not 41 shared objects.
EXE_LIBS := -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive \
	-l:libuv_a.a -l:libutf8proc.a -l:libcrypto.a \
	-Wl,--exclude-libs,libcrypto.a -lm -ldl -lpthread

# mimalloc in libc's place, for the libraries too: their work here is small blocks
# without end. `make MALLOC=` keeps libc's; what looks at memory itself has it anyway.
MALLOC ?= $(if $(SAN)$(filter-out release,$(MODE)),,-lmimalloc)

# --- what there is ------------------------------------------------------------
EXE_SRCS := $(wildcard src/*.c src/core/*.c src/effect/*.c src/term/*.c \
	src/run/*.c)
EXE_OBJS := $(EXE_SRCS:%.c=$(B)/%.o) $(B)/embedded.o
ifeq ($(MODE),tsan)
EXE_OBJS += $(B)/tests/lib/tsan_threads.o
endif
LIB_OBJS := $(filter-out $(B)/src/main.o,$(EXE_OBJS))
bind_row = $(shell awk -F'"' -v n='$(1)' '/^BINDING/ { split($$1, a, \
	/[^a-z0-9]+/); if (!n) print a[2]; else if (a[2] == n) print $$$(2) }' \
	src/bind/bindings.def)
BINDINGS := $(call bind_row,,1)
bind_pkgs = $(call bind_row,$(1),4)
bind_more = $(call bind_row,$(1),6)
bind_srcs = $(sort $(wildcard src/bind/$(1).c src/bind/$(1)_*.c) \
	$(patsubst %,src/bind/%.c,$(call bind_more,$(1))))
# readline is loaded by who types, and costs nobody else's start
REPL_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard src/repl/*.c))
BIND_SOS := $(BINDINGS:%=$(B)/lib/%.so) $(B)/lib/line.so
LUA_FILES := $(sort $(shell find lua -type f))
PLAYBOOKS := $(sort $(shell find playbooks -type f -name '*.lua'))

.DELETE_ON_ERROR:
.PHONY: all deps deps-test test check bench demo install uninstall clean help
all: deps-build $(B)/opsh $(BIND_SOS)

# --- the program --------------------------------------------------------------
$(B)/opsh: $(EXE_OBJS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) -no-pie -rdynamic $(LDFLAGS) -o $@ $(EXE_OBJS) $(MALLOC) \
		$(EXE_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(DEPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -c -o $@ $<

$(B)/embedded.o: $(B)/embedded.c
	$(Q)$(CC) $(DEPFLAGS) $(OUR_CFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/embedded.c: build/tools/embed src/tools/stubs.lua $(LUA_FILES)
	@mkdir -p $(@D)
	$(call say,EMBED,$@)
	$(Q)build/tools/embed src/tools/stubs.lua $(LUA_FILES) > $@
build/tools/embed: src/tools/embed.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O1 $(WARN) $(LUA_CFLAGS) -o $@ $< \
		-l:liblua5.4.a -lm -ldl

# Libraries that pkg-config doesn't know. libpg_query holds half of Postgres:
# linked statically, with its symbols hidden.
LIBS_pg := -l:libpg_query.a -Wl,--exclude-libs,libpg_query.a

define BIND_RULES
$(1)_OBJS := $$(patsubst %.c,$(B)/%.o,$(call bind_srcs,$(1)))
$(B)/lib/$(1).so: $$($(1)_OBJS)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$(Q)$(CC) $(SANFLAGS) -shared $(LDFLAGS) -o $$@ $$($(1)_OBJS) \
		$$(if $(call bind_pkgs,$(1)),$$(shell $(PKGCONF) --libs $(call bind_pkgs,$(1)))) \
		$$(LIBS_$(1))
endef
$(foreach b,$(BINDINGS),$(eval $(call BIND_RULES,$(b))))

$(B)/lib/line.so: $(REPL_OBJS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SANFLAGS) -shared $(LDFLAGS) -o $@ $(REPL_OBJS) -lreadline

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# --- packages, tests, installation ---------------------------------------------
include tests/tests.mk

deps-build:
	@tests/deps.sh build
deps:
	@tests/deps.sh build test

install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/opsh'
	install -m 755 $(B)/opsh '$(DESTDIR)$(PREFIX)/bin/opsh'
	install -m 755 $(BIND_SOS) '$(DESTDIR)$(PREFIX)/lib/opsh/'
	for f in $(PLAYBOOKS); do \
		install -D -m 644 "$$f" \
			"$(DESTDIR)$(PREFIX)/share/opsh/$$f" || exit 1; \
	done
uninstall:
	rm -rf '$(DESTDIR)$(PREFIX)/bin/opsh' '$(DESTDIR)$(PREFIX)/lib/opsh' \
		'$(DESTDIR)$(PREFIX)/share/opsh'
clean:
	rm -rf build

help:
	@echo 'targets:'
	@echo '  all       build build/release/opsh and its bindings (default)'
	@echo '  deps      install the packages that are missing (Debian, apt)'
	@echo '  demo      all set-up, then four incidents and their ends'
	@echo '  test      all set-up, then every test'
	@echo '  check     lint: room rules, sizes, documentation, luacheck, cppcheck'
	@echo '  bench     ratios against plain C and the usual tools, in one run'
	@echo '  install   into DESTDIR/PREFIX (PREFIX=$(PREFIX))'
	@echo '  uninstall, clean'
	@echo 'variables: MODE=release|debug|test|asan|tsan  SAN=address,undefined'
	@echo '           V=1 (show commands)  DEVELOPER=1 (-Werror)  CFLAGS LDFLAGS CC MALLOC PREFIX DESTDIR'
