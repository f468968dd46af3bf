/*
 * tty: the terminal that lines are typed at, opened anew so that its flags are
 * ours alone. Raw while a line is edited, as it was found else. Keeps what was
 * typed ahead, and cuts it into pieces that the editor can take without waiting
 * for more: a character, a key's whole sequence, a paste.
 */
#ifndef OPSH_REPL_TTY_H
#define OPSH_REPL_TTY_H

#include <stddef.h>

int tty_open(void);		/* 0, -1 with errno; idempotent */
void tty_close(void);		/* gives it back as it was found */
int tty_fd(void);

void tty_raw(void);
void tty_cooked(void);
/* The settings alone; async-signal-safe. */
void tty_restore(void);

/* Reads what is there. 0, or -1 when the terminal is gone. */
int tty_fill(void);
/* Drops what was typed ahead, here and in the kernel. */
void tty_drop(void);

enum tty_piece { TTY_NONE, TTY_KEYS, TTY_PASTE };
/* The next whole piece: valid until the next call of any of these. A paste has
 * its lines ended by \n. */
enum tty_piece tty_next(const char **data, size_t *len);
/* After TTY_NONE: is there the start of a key? Escape alone is one too, so it
 * is waited for only TTY_KEY_WAIT seconds; then the rest is taken as it is. */
#define TTY_KEY_WAIT 0.05
int tty_cut(void);
size_t tty_rest(const char **data);

#endif
