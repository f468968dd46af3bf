/*
 * spawn: times the start-up of two programs against each other, one run of
 * each in turn. From C, because a script's own cost of starting a child would
 * hide the difference. Prints one line a round: seconds of the first, seconds
 * of the second. Must not look at what they print: that goes nowhere.
 *
 *     spawn ROUNDS PROGRAM [ARG..] -- PROGRAM [ARG..]
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Seconds from the start of argv to its end; below 0 when it failed. */
static double run(char **argv, posix_spawn_file_actions_t *actions)
{
	double start = now();
	pid_t pid;
	int status;
	int err = posix_spawnp(&pid, argv[0], actions, NULL, argv, environ);

	if (err) {
		fprintf(stderr, "spawn: cannot start '%s': %s\n", argv[0],
			strerror(err));
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (status != 0) {
		fprintf(stderr, "spawn: '%s' failed, status %d\n", argv[0],
			status);
		return -1;
	}
	return now() - start;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	posix_spawn_file_actions_t actions;
	char **second = NULL;
	int i, rc = 0;

	for (i = 2; i < argc && !second; i++) {
		if (strcmp(argv[i], "--") == 0) {
			argv[i] = NULL;
			second = argv + i + 1;
		}
	}
	if (rounds <= 0 || !second || !*second || !argv[2]) {
		fprintf(stderr, "usage: spawn ROUNDS PROGRAM [ARG..] -- "
			"PROGRAM [ARG..]\n");
		return 2;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	while (rounds-- > 0 && rc == 0) {
		double a = run(argv + 2, &actions);
		double b = run(second, &actions);

		if (a < 0 || b < 0)
			rc = 1;
		else
			printf("%.6f %.6f\n", a, b);
	}
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}
