/*
 * buf: a growable byte buffer. Adding never fails visibly: when memory is
 * gone the buffer turns `bad`, ignores what follows, and the owner asks once
 * at the end (buf_ok). Always NUL-terminated when ok.
 */
#ifndef OPSH_CORE_BUF_H
#define OPSH_CORE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data;	/* owned; never NULL after buf_init */
	size_t len;
	size_t cap;	/* 0 while data points to the shared empty string */
	int bad;	/* an allocation failed: contents are incomplete */
};

#define BUF_INIT { buf_empty, 0, 0, 0 }
extern char buf_empty[];

void buf_init(struct buf *b);
void buf_release(struct buf *b);		/* frees; b is as after init */
void buf_clear(struct buf *b);			/* keeps the memory */
int buf_ok(const struct buf *b);
char *buf_reserve(struct buf *b, size_t extra);	/* room at data+len, or NULL */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_addc(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
void buf_add_int(struct buf *b, long long n);	/* decimal */
/* With six places, as %.6f writes it; for what is finite and below 10^12. */
void buf_add_micros(struct buf *b, double seconds);
void buf_consume(struct buf *b, size_t n);	/* drops n bytes at the front */
void buf_swap(struct buf *a, struct buf *b);

/*
 * A JSON string, quotes included. Bytes that are not UTF-8 are written as
 * U+DC80..U+DCFF escapes ("\udc80"): exact bytes can be read back (the
 * convention of Python's surrogateescape), and the line stays valid JSON.
 */
void buf_add_json(struct buf *b, const char *s, size_t len);

#endif
