/*
 * sink: fd 1 or 2 with a queue, written only as far as it doesn't block. The
 * part of out that knows descriptors; only out*.c see it.
 */
#ifndef OPSH_TERM_SINK_H
#define OPSH_TERM_SINK_H

#include <stddef.h>

#include "core/buf.h"

enum sink_kind {
	SINK_FILE,		/* never blocks: files, /dev/null */
	SINK_PIPE,
	SINK_SOCKET,
	SINK_TTY,		/* opened again by us, non-blocking */
	SINK_TTY_SHARED		/* could not be opened again */
};

struct sink {
	int fd;			/* 1 or 2, borrowed */
	int wfd;		/* fd, or owned: the terminal opened again */
	enum sink_kind kind;
	int tty;
	int dead;		/* errno of the write that failed; 0 alive */
	int waits;		/* how it waits for room: enum in sink.c */
	struct buf queue;	/* owned; append to it, then sink_flush */
	size_t head;		/* of the queue: written already */
	void (*on_dead)(struct sink *s);	/* once; may be NULL */
	void (*on_flush)(void);	/* stderr's: the loop wrote something */
};

void sink_init(struct sink *s, int fd);
void sink_release(struct sink *s);
size_t sink_pending(const struct sink *s);
/* Writes what doesn't block; the rest goes out as the loop turns. */
void sink_flush(struct sink *s);
/* Terminals are written to no more, what comes is queued; 0: again. */
void sink_hold(int on);
/* Flushes at the loop's next turn. */
void sink_flush_soon(struct sink *s);
/* Waits, without the loop, until all is written, dead, or loop_now() is past
 * `until`. A signal (INT, TERM, HUP) cuts it short. */
void sink_finish(struct sink *s, double until);

#endif
