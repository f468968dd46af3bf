/*
 * settings: the two calls that ask for SIGTTOU to be blocked.
 */
#include "term/settings.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static void block(sigset_t *old)
{
	sigset_t ttou;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, old);
}

void settings_set(int tty, int when, const struct termios *t)
{
	sigset_t old;
	int saved = errno;

	block(&old);
	tcsetattr(tty, when, t);
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = saved;
}

void settings_front(int tty, pid_t group)
{
	sigset_t old;
	int saved = errno;

	block(&old);
	tcsetpgrp(tty, group);
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = saved;
}
