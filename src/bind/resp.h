/*
 * resp: the Redis protocol (RESP2) as bytes: a resumable scanner that checks
 * every limit before anything is allocated, a cursor over scanned bytes, an
 * encoder, and the decoder to the Lua stack (resp_lua.c). Owns nothing but
 * its state; knows no connection.
 */
#ifndef OPSH_BIND_RESP_H
#define OPSH_BIND_RESP_H

#include <lua.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

#define RESP_MAX_DEPTH 32		/* arrays in arrays */
#define RESP_MAX_LINE (64 * 1024)	/* a status or error line */
#define RESP_MAX_REPLY (64ULL << 20)	/* default: one reply, one bulk */
#define RESP_MAX_ELEMENTS 1000000LL	/* in one reply */

struct resp_scan {
	size_t max_reply;	/* bytes of one reply */
	long long max_elements;
	size_t pos;		/* next byte to look at */
	size_t start;		/* where the reply being read began */
	size_t look;		/* of a line: searched up to here */
	size_t body;		/* bytes of a bulk still to skip, CRLF too */
	long long elements;	/* announced by this reply so far */
	long long errors;	/* whole replies that were errors */
	size_t first_error;	/* where the first of them begins */
	int depth;
	long long left[RESP_MAX_DEPTH];
};

void resp_scan_init(struct resp_scan *s, size_t max_reply,
		    long long max_elements);

/*
 * Goes on over data[0..len), of which the first s->pos bytes were seen in
 * earlier calls. Stops after `max` whole replies: returns how many ended in
 * this call (the last at s->pos), or -1 with *e filled (kind limit or
 * protocol): the stream is lost.
 */
long long resp_scan(struct resp_scan *s, const char *data, size_t len,
		    long long max, struct err *e);

/* The owner dropped n bytes at the front (n <= s->pos). */
void resp_scan_shift(struct resp_scan *s, size_t n);

/* --- a cursor over scanned bytes --------------------------------------- */
struct resp_item {
	char type;		/* '+' '-' ':' '$' '*', '_' for nil */
	const char *str;	/* borrowed; of + - $ */
	size_t len;
	long long num;		/* of ':', elements of '*' */
};
/* Reads one item at p: the position after it (after the header of an array),
 * or NULL when the bytes are not whole or not RESP. Reads nothing outside. */
const char *resp_item(const char *p, const char *end, struct resp_item *it);
/* Skips one whole reply; NULL as above. */
const char *resp_skip(const char *p, const char *end);

/* --- encoder ------------------------------------------------------------- */
void resp_add_array(struct buf *out, long long n);
void resp_add_bulk(struct buf *out, const char *s, size_t len);
void resp_add_str(struct buf *out, const char *s);
void resp_add_int(struct buf *out, long long v);	/* as a bulk */

/* One argument in the quoting of redis-cli; printable UTF-8 is kept. */
void resp_quote(struct buf *out, const char *s, size_t len);
/* Splits a line as redis-cli does and appends the arguments as bulks: their
 * number, or -1 when quotes are not balanced. */
int resp_split(struct buf *out, const char *line, size_t len);

/* --- Lua (resp_lua.c) ------------------------------------------------------ */
#define RESP_MAP 1	/* a flat array of pairs becomes one table */

/*
 * [-0, +1, m] Decodes the reply at *p and moves *p behind it. nil is nil at the
 * top and opsh.null inside arrays, errors are error objects. Malformed bytes
 * raise kind protocol. Returns the item's type.
 */
char resp_push(lua_State *L, const char **p, const char *end, int flags);

/* An error line ("WRONGTYPE Operation ...") as an error. */
void resp_error(struct err *e, const char *line, size_t len);

#endif
