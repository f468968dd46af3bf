/*
 * out_impl: what out.c, out_fd.c and out_row.c share and nobody else sees: the
 * two descriptors, and the row that stands below what is written.
 */
#ifndef OPSH_TERM_OUT_IMPL_H
#define OPSH_TERM_OUT_IMPL_H

#include "term/out.h"
#include "term/sink.h"

/* --- out_fd.c ------------------------------------------------------------ */

/* on_flush: the loop wrote something. */
void out_fd_init(void (*on_flush)(void));
void out_fd_release(void);
extern struct sink out_sinks[2];
void out_tell_room(void);	/* to who waits for it (out_on_room) */
void out_hold_sinks(int on);

/* --- out_row.c ----------------------------------------------------------- */

void out_row_status(const struct buf *line);	/* masked; NULL: none */
void out_row_hide(void);	/* text comes */
void out_row_show(void);	/* as far as all text is written */
int out_row_hidden(void);	/* is there one to be shown again? */
void out_row_drop(void);	/* the status line is gone; frees it */
/* The terminal's cursor is at the start of a line, or not. */
void out_row_at(int start);

#endif
