/*
 * tty: the terminal that lines are typed at, opened anew so that its flags are
 * ours alone. Raw while a line is edited, as it was found else. Keeps what was
 * typed ahead.
 */
#ifndef OPSH_REPL_TTY_H
#define OPSH_REPL_TTY_H

#include "repl/keys.h"

int tty_open(void);		/* 0, -1 with errno; idempotent */
void tty_close(void);		/* gives it back as it was found */
int tty_fd(void);

void tty_raw(void);
void tty_cooked(void);
/* Not raw: is what is typed echoed (0) or kept for the next line? */
void tty_quiet(int on);
/* The settings alone; async-signal-safe. */
void tty_restore(void);

/* Reads what is there. 0, or -1 when the terminal is gone. */
int tty_fill(void);
/* Drops what was typed ahead, here and in the kernel. */
void tty_drop(void);

/* What was read and not yet taken. */
struct keys *tty_keys(void);

#endif
