/*
 * load.c: customers of the flash sale: orders at a steady rate, each by another user,
 * until TERM; what became of them is counted by the second, a line each on stdout:
 *
 *     SECONDS TAKEN REFUSED LIMITED OTHER NONE
 *
 * seconds since 1970, then answers 2xx, 503, 429, others, and those that never came.
 * Written for examples and tests: must not be taken for a benchmark.
 *
 *     load PORT RATE [SECONDS]
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CUSTOMERS 16

enum { TAKEN, REFUSED, LIMITED, OTHER, NONE, KINDS };

static int port;
static double gap;			/* seconds between two orders of a customer */
static atomic_ulong counts[KINDS], orders;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void rest(double seconds)
{
	struct timespec ts;

	if (seconds <= 0)
		return;
	ts.tv_sec = (time_t)seconds;
	ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
	nanosleep(&ts, NULL);
}

static int dial(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct timeval tv = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_port = htons((uint16_t)port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (!connect(fd, (struct sockaddr *)&at, sizeof(at)))
		return fd;
	close(fd);
	return -1;
}

/* One order; the status, or 0. */
static int order(unsigned long n)
{
	char body[128], text[384], answer[64] = "";
	int fd = dial(), len, status = 0;
	size_t at = 0;

	if (fd < 0)
		return 0;
	snprintf(body, sizeof(body), "{\"user_id\":\"customer-%ld-%lu\","
		"\"item_id\":\"%d\",\"quantity\":1}", (long)getpid(), n,
		101 + (int)(n % 3));
	len = snprintf(text, sizeof(text), "POST /orders HTTP/1.1\r\nHost: sale\r\n"
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	if (write(fd, text, (size_t)len) == len) {
		/* a status line is short, but may come in pieces */
		while (at < 12) {
			ssize_t got = read(fd, answer + at, sizeof(answer) - 1 - at);

			if (got <= 0)
				break;
			at += (size_t)got;
		}
		if (sscanf(answer, "HTTP/1.%*d %d", &status) != 1)
			status = 0;
	}
	close(fd);
	return status;
}

static void *customer(void *arg)
{
	double due = now() + gap * (double)(long)arg / CUSTOMERS;

	for (;;) {
		int status;

		rest(due - now());
		status = order(orders++);
		counts[!status ? NONE : status / 100 == 2 ? TAKEN : status == 503 ?
			REFUSED : status == 429 ? LIMITED : OTHER]++;
		due += gap;
		if (due < now())	/* who had to wait does not hurry then */
			due = now();
	}
	return arg;
}

static void tell(void)
{
	unsigned long n[KINDS];

	for (int i = 0; i < KINDS; i++)
		n[i] = atomic_exchange(&counts[i], 0);
	printf("%ld %lu %lu %lu %lu %lu\n", (long)time(NULL), n[TAKEN], n[REFUSED],
		n[LIMITED], n[OTHER], n[NONE]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct timespec second = { .tv_sec = 1 };
	pthread_t thread;
	sigset_t ends;
	double rate;
	long left;

	port = argc > 1 ? atoi(argv[1]) : 0;
	rate = argc > 2 ? strtod(argv[2], NULL) : 0;
	left = argc > 3 ? strtol(argv[3], NULL, 10) : -1;
	if (port <= 0 || rate <= 0 || argc > 4) {
		fprintf(stderr, "usage: load PORT RATE [SECONDS]\n");
		return 2;
	}
	gap = CUSTOMERS / rate;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	for (long i = 0; i < CUSTOMERS; i++) {
		if (pthread_create(&thread, NULL, customer, (void *)i))
			return 1;
		pthread_detach(thread);
	}
	while (left-- && sigtimedwait(&ends, NULL, &second) < 0)
		tell();
	tell();
	return 0;
}
