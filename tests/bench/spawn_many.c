/*
 * spawn_many: starts COUNT programs at once by posix_spawn and waits for all,
 * while it holds MEGABYTES of touched memory. Prints the seconds and how many
 * ended well. Their output goes nowhere.
 *
 *     spawn_many COUNT MEGABYTES PROGRAM [ARG..]
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	long count = argc > 3 ? strtol(argv[1], NULL, 10) : 0, i, well = 0;
	size_t size = argc > 3 ? strtoul(argv[2], NULL, 10) * 1000000 : 0;
	posix_spawn_file_actions_t actions;
	double start;
	char *memory;
	int status, err;
	pid_t pid;

	if (count <= 0) {
		fprintf(stderr, "usage: spawn_many COUNT MEGABYTES PROGRAM "
			"[ARG..]\n");
		return 2;
	}
	memory = malloc(size + 1);
	if (!memory)
		return 1;
	memset(memory, 1, size + 1);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	start = now();
	for (i = 0; i < count; i++) {
		err = posix_spawnp(&pid, argv[3], &actions, NULL, argv + 3,
				   environ);
		if (err) {
			fprintf(stderr, "spawn_many: cannot start '%s': %s\n",
				argv[3], strerror(err));
			return 1;
		}
	}
	for (i = 0; i < count; i++) {
		while ((pid = wait(&status)) < 0 && errno == EINTR)
			;
		well += pid > 0 && status == 0;
	}
	printf("%.6f %ld\n", now() - start, well);
	posix_spawn_file_actions_destroy(&actions);
	free(memory);
	return 0;
}
