/*
 * fuzz: the reply path. The first bytes choose the cuts; the rest is what a
 * server sends. Properties: any cuts give the same result as the whole; limits
 * hold; the decoder takes everything that the scanner passed; nothing is read
 * outside (memory ends where the bytes end, the sanitizer looks).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "bind/resp.h"
#include "core/mem.h"

#define MAX_REPLY 4096
#define MAX_ELEMENTS 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	long long replies;	/* -1: refused */
	long long before;	/* whole replies before the refusal */
	enum err_kind kind;
	size_t pos;
};

static void check(int ok)
{
	if (!ok)
		__builtin_trap();
}

/* Scans data[0..have) out of a block of just that size. */
static long long scan_part(struct resp_scan *s, const char *data, size_t have,
			   long long max, struct err *e)
{
	char *copy = mem_alloc(have ? have : 1);
	long long n;

	check(copy != NULL);
	memcpy(copy, data, have);
	n = resp_scan(s, copy, have, max, e);
	mem_free(copy);
	check(s->pos <= have && s->start <= s->pos);
	check(s->depth >= 0 && s->depth <= RESP_MAX_DEPTH);
	check(s->elements <= MAX_ELEMENTS);
	return n;
}

static struct result scan(const char *data, size_t len, const uint8_t *cuts,
			  size_t ncuts)
{
	struct result r = { 0, 0, ERR_NONE, 0 };
	struct resp_scan s;
	struct err e;
	size_t have = 0, k = 0;
	long long n;

	resp_scan_init(&s, MAX_REPLY, MAX_ELEMENTS);
	do {
		size_t step = ncuts ? cuts[k++ % ncuts] % 17 + 1 : len;

		have = len - have < step ? len : have + step;
		/* one at a time: what came before a refusal counts */
		while ((n = scan_part(&s, data, have, 1, &e)) == 1)
			r.before++;
		if (n < 0) {
			check(e.kind == ERR_LIMIT || e.kind == ERR_PROTOCOL);
			r.replies = -1;
			r.kind = e.kind;
			return r;
		}
	} while (have < len);
	r.replies = r.before;
	r.pos = s.start;
	return r;
}

static void decode(lua_State *L, const char *data, size_t len)
{
	const char *p = data, *end = data + len;

	while (p < end) {
		const char *at = p;

		check(resp_push(L, &p, end, RESP_MAP) != 0);
		check(p == resp_skip(at, end));
		lua_settop(L, 0);
	}
}

/* The decoder on bytes that nobody checked: an error or a value, no more. */
static int l_decode_any(lua_State *L)
{
	const char *p = lua_touserdata(L, 1);
	const char *end = p + (size_t)lua_tointeger(L, 2);

	resp_push(L, &p, end, 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;
	struct result whole, cut;
	size_t ncuts;
	char *copy;

	if (!L)
		L = luaL_newstate();
	if (size < 2)
		return 0;
	ncuts = data[0] % 8;
	if (ncuts + 1 > size)
		return 0;
	copy = mem_memdup((const char *)data + 1 + ncuts, size - 1 - ncuts);
	check(L && copy);
	size -= 1 + ncuts;
	whole = scan(copy, size, NULL, 0);
	cut = scan(copy, size, data + 1, ncuts);
	check(whole.replies == cut.replies && whole.before == cut.before);
	check(whole.kind == cut.kind && whole.pos == cut.pos);
	if (whole.replies > 0)
		decode(L, copy, whole.pos);
	lua_pushcfunction(L, l_decode_any);
	lua_pushlightuserdata(L, copy);
	lua_pushinteger(L, (lua_Integer)size);
	lua_pcall(L, 2, 0, 0);
	lua_settop(L, 0);
	mem_free(copy);
	return 0;
}
