/*
 * out: the one writer to fd 1 and 2. Keeps a queue a descriptor and writes
 * only what the descriptor takes without blocking, so that a full pipe stops
 * neither the journal nor the loop. Foreign bytes are escaped when the
 * descriptor is a terminal; everything passes the redactor (a filter that
 * main sets: term knows no effect room). SIGPIPE is ignored: a failed write
 * turns the descriptor dead, and what follows is dropped.
 */
#ifndef OPSH_TERM_OUT_H
#define OPSH_TERM_OUT_H

#include <stddef.h>

#include "core/buf.h"

struct lua_State;

enum out_fd { OUT_STDOUT, OUT_STDERR };

/* Reads the environment (NO_COLOR, CLICOLOR_FORCE, TERM, COLUMNS) and tty-ness. */
void out_init(void);
/* Waits as long as the reader takes (a pager), unless a signal came; frees. */
void out_release(void);

/* Masks secrets in a stream; set once by main. stream: 0 stdout, 1 stderr. */
struct out_filter {
	void (*feed)(int stream, struct buf *out, const char *data, size_t len);
	void (*flush)(int stream, struct buf *out);
	/* A text that stands alone (a table's cell, a status line). */
	void (*mask)(struct buf *out, const char *data, size_t len);
};
void out_set_filter(const struct out_filter *filter);

int out_is_tty(enum out_fd fd);
int out_colour(enum out_fd fd);		/* may styles be written? */
int out_columns(void);			/* width of the terminal; 80 unknown */
int out_lines(void);			/* its height; 24 unknown */
int out_dead(enum out_fd fd);		/* errno of the write that failed; 0 */
/* Called once when stdout turned dead. */
void out_on_dead(void (*cb)(void));

/* Foreign text: escaped on a terminal (newline and tab kept). */
void out_text(enum out_fd fd, const char *data, size_t len);
/* Our own text, may hold styles; never foreign bytes. */
void out_ours(enum out_fd fd, const char *data, size_t len);
void out_printf(enum out_fd fd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));	/* as out_text */

/* Lets go of what the filter holds back as the possible start of a secret:
 * the text is whole (a prompt). */
void out_settle(enum out_fd fd);
/* Appends `data` with every secret masked; not written anywhere. */
void out_mask(struct buf *to, const char *data, size_t len);

/* Writes what can be written now without blocking. Needed by nobody: what is
 * queued is written at the loop's next turn. */
void out_flush(void);
size_t out_pending(void);	/* bytes queued, both descriptors */
/* Should who writes there park? Each descriptor alone: a stdout that nobody
 * reads stops no one who talks on stderr. */
#define OUT_FULL (1024 * 1024)
#define OUT_FULL_TTY (64 * 1024)	/* Ctrl-C is to stop what is printed */
int out_full(enum out_fd fd);
/* Called when one that was full has fallen to half of it, or turned dead. */
void out_on_room(void (*cb)(enum out_fd fd));
/* The terminal is lent: what is for it is queued, as far as writers go without
 * parking; 0: it is ours again. */
void out_hold(int on);
int out_held(void);
/* Blocks until all is written or the descriptor is dead, at most `seconds`;
 * half a second when a signal tells us to go. */
void out_finish(double seconds);

/* The status line of progress on stderr (only on a terminal): erased before
 * any other text is written, drawn again after it. NULL removes it. */
void out_status(const char *line);
/* cb(1) when it is drawn, cb(0) before a question or a program has the terminal and
 * when it is gone: what is typed meanwhile is not to be echoed into it. */
void out_on_status(void (*cb)(int drawn));
/* The terminal's cursor went to the start of a line by other means: the
 * person's Enter was echoed. */
void out_line_done(void);
/* The terminal has echoed a key: what is written next begins a line. */
void out_echoed(void);

/* A line that a person edits on the terminal (src/repl). It is taken away before
 * any other text is written there, and drawn again after it; a question has the
 * terminal to itself. All are called on the loop and draw by out_edit. */
struct out_line {
	void (*hide)(void);	/* leaves the cursor where it began */
	void (*show)(void);	/* the cursor is at the start of a line */
	void (*pause)(void);	/* hidden already: lets go of the terminal */
	void (*resume)(void);	/* takes it again; show follows */
};
/* From now on (shown already), or NULL: it is gone, and the cursor is at the
 * start of a line. */
void out_set_line(const struct out_line *line);
/* What its editor draws, on stderr's terminal: not filtered. */
void out_edit(const char *data, size_t len);
/* Draws it now if it is hidden: a key was pressed. */
void out_show_line(void);
void out_pause_line(void);	/* as often as it is resumed */
void out_resume_line(void);
int out_line_paused(void);	/* one that begins now waits for resume */

/* `opsh.c.term`: write(fd, text), ours, style, is_tty, colour, columns, width,
 * escape, mask, cell, clock, status, prompt, null. [-0, +1, m] */
int luaopen_opsh_c_term(struct lua_State *L);

#endif
