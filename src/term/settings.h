/*
 * settings: a terminal's settings and its foreground group, changed from wherever
 * we are: in the background the kernel would stop us. Async-signal-safe; errno
 * stays.
 */
#ifndef OPSH_TERM_SETTINGS_H
#define OPSH_TERM_SETTINGS_H

#include <sys/types.h>
#include <termios.h>

void settings_set(int tty, int when, const struct termios *t);	/* TCSANOW .. */
void settings_front(int tty, pid_t group);

#endif
