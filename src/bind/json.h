/*
 * json: what the files of the JSON binding share. The slot is the userdata
 * that owns all memory of one call until it is released, so that a raise
 * anywhere leaves nothing behind. Only json_decode.c knows the library.
 */
#ifndef OPSH_BIND_JSON_H
#define OPSH_BIND_JSON_H

#include <lua.h>
#include <stddef.h>

#include "core/buf.h"

struct json_t;

#define JSON_ARRAY_META "opsh.json.array"	/* marks tables as arrays */
#define JSON_DEPTH 128				/* default, both ways */
#define JSON_DEPTH_MAX 1000			/* what the C stack surely takes */

struct json_slot {
	struct json_t *root;	/* owned: the library's tree */
	struct buf buf;		/* owned: text being written */
};

/* [-0, +1, m] pushes an empty slot. */
struct json_slot *json_slot_new(lua_State *L);
void json_slot_release(struct json_slot *slot);

/* Line and column (in bytes, both from 1) of an offset. */
void json_where(const char *text, size_t at, size_t *line, size_t *column);

/* Offset of the bracket that opens more than `max` levels, or len. */
size_t json_too_deep(const char *text, size_t len, int max);

/*
 * Lone escapes \udc80..\udcff stand for bytes that are not UTF-8, which the
 * library refuses. Each is overwritten in place by a marker of the same
 * length (4 bytes of a code point that the text does not hold, 2 hex digits).
 * Returns 0 when every candidate occurs in the text. An empty marker: the
 * text has no such escape.
 */
struct json_marker {
	char bytes[4];
	int used;
};
int json_mark_bytes(char *text, size_t len, struct json_marker *marker);
/* Appends s with its markers turned into bytes. */
void json_unmark(struct buf *out, const char *s, size_t len,
		 const struct json_marker *marker);

/* Into the module on top. [-0, +0, m] */
void json_open_decode(lua_State *L);
void json_open_encode(lua_State *L);

#endif
