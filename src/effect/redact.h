/*
 * redact: masks secret values, in every encoding they are likely to appear
 * in (plain, base64 at the three alignments and both alphabets, URL percent in
 * both hex cases, JSON escapes, quoted, hex), before any byte reaches a sink.
 * One automaton for all secrets; a stream keeps what may be the start of one.
 * Occurrences that overlap are masked together, by one mark.
 */
#ifndef OPSH_EFFECT_REDACT_H
#define OPSH_EFFECT_REDACT_H

#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

#define REDACT_MARK "[secret]"
#define REDACT_MIN 8	/* shorter values are not masked: fault 72 */

/* Adds a secret; blanks around it don't count, and each line of several is
 * masked alone too. 0 added, 1 too short or a common word (not masked; the
 * caller warns), -1 out of memory. The value is copied. */
int redact_add(const char *value, size_t len);
void redact_release(void);		/* forgets all, wipes */
int redact_any(void);			/* is there a secret to mask? */

/* Appends `data` to `out` with every secret masked. */
void redact_to(struct buf *out, const char *data, size_t len);
/* 1: a secret stands in it, 0: none, -1: out of memory. */
int redact_finds(const char *data, size_t len);

/* Streaming: bytes that may start a secret are held until decided. */
struct redact_stream {
	uint32_t node;		/* the automaton's state; 0: at the root */
	unsigned age;		/* of the automaton that `node` belongs to */
	struct buf held;	/* owned: seen, not yet written to `out` */
	struct buf marks;	/* owned: spans of `held` to be masked */
};
void redact_stream_init(struct redact_stream *s);
void redact_stream_feed(struct redact_stream *s, struct buf *out,
			const char *data, size_t len);
void redact_stream_flush(struct redact_stream *s, struct buf *out);
void redact_stream_release(struct redact_stream *s);

#endif
