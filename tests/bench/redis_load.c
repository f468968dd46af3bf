/*
 * redis_load: fills a Redis with PREFIX0 .. PREFIXn-1 as fast as it takes
 * them; used by demo, tests and bench. Plain sockets, no library: it sends
 * without waiting, counts the +OK lines, and never holds more than one buffer
 * of requests. Must not be a measure of anything.
 *
 *     redis_load PORT PREFIX COUNT SIZE TTL
 *
 * SIZE is the length of each value in bytes, TTL seconds or 0 for none. Exits
 * 0 when every SET was answered by +OK, else 1 and says why; 2 for bad usage.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (1 << 18)			/* bytes of requests at once */
#define MAX_VALUE (1 << 16)
#define MAX_PREFIX 512
#define STALL_MS 10000			/* no progress for so long: give up */

struct load {
	int fd;
	const char *prefix;
	long count, made, answered;
	long size, ttl;
	char *value;			/* owned */
	char *out;			/* owned */
	size_t out_from, out_to;
	char line[256];			/* the reply line at hand */
	size_t line_len;
};

static int number(const char *text, long min, long max, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return !errno && *text && !*end && *out >= min && *out <= max;
}

static int dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	if (fd < 0)
		return -1;
	to.sin_port = htons((uint16_t)port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    fcntl(fd, F_SETFL, O_NONBLOCK)) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* One more SET in the buffer; 0 when there is no room for it. */
static int add(struct load *load)
{
	size_t room = ROOM - load->out_to;
	char *p = load->out + load->out_to;
	char key[MAX_PREFIX + 24], ttl[24] = "", tail[64] = "";
	int n, key_len, ttl_len;

	if (room < (size_t)load->size + MAX_PREFIX + 256)
		return 0;
	key_len = snprintf(key, sizeof(key), "%s%ld", load->prefix,
			   load->made);
	if (load->ttl) {
		ttl_len = snprintf(ttl, sizeof(ttl), "%ld", load->ttl);
		snprintf(tail, sizeof(tail), "$2\r\nEX\r\n$%d\r\n%s\r\n",
			 ttl_len, ttl);
	}
	n = snprintf(p, room, "*%d\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%ld\r\n",
		     load->ttl ? 5 : 3, key_len, key, load->size);
	memcpy(p + n, load->value, (size_t)load->size);
	n += (int)load->size;
	n += snprintf(p + n, room - (size_t)n, "\r\n%s", tail);
	load->out_to += (size_t)n;
	load->made++;
	return 1;
}

static int send_some(struct load *load)
{
	ssize_t n;

	if (load->out_from == load->out_to) {
		load->out_from = load->out_to = 0;
		while (load->made < load->count && add(load))
			;
	}
	if (load->out_from == load->out_to)
		return 0;
	n = write(load->fd, load->out + load->out_from,
		  load->out_to - load->out_from);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	load->out_from += (size_t)n;
	return 0;
}

/* Counts +OK lines; -1 with a message for any other. */
static int take_replies(struct load *load)
{
	char in[1 << 16];
	ssize_t n = read(load->fd, in, sizeof(in));
	ssize_t i;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		fprintf(stderr, "redis_load: connection lost: %s\n",
			n ? strerror(errno) : "end of file");
		return -1;
	}
	for (i = 0; i < n; i++) {
		if (in[i] != '\n') {
			if (load->line_len < sizeof(load->line) - 1)
				load->line[load->line_len++] = in[i];
			continue;
		}
		load->line[load->line_len] = '\0';
		load->line_len = 0;
		if (strcmp(load->line, "+OK\r") != 0) {
			fprintf(stderr, "redis_load: server said '%.200s'\n",
				load->line);
			return -1;
		}
		load->answered++;
	}
	return 0;
}

static int run(struct load *load)
{
	while (load->answered < load->count) {
		int sending = load->made < load->count ||
			      load->out_from < load->out_to;
		struct pollfd pfd = { .fd = load->fd };
		int n;

		pfd.events = (short)(POLLIN | (sending ? POLLOUT : 0));
		n = poll(&pfd, 1, STALL_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fprintf(stderr, "redis_load: no answer within 10 s\n");
			return -1;
		}
		if ((pfd.revents & POLLOUT) && send_some(load)) {
			fprintf(stderr, "redis_load: cannot send: %s\n",
				strerror(errno));
			return -1;
		}
		if ((pfd.revents & (POLLIN | POLLHUP | POLLERR)) &&
		    take_replies(load))
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct load load = { .fd = -1 };
	long port, i;
	int rc = 1;

	if (argc != 6 || !number(argv[1], 1, 65535, &port) ||
	    !number(argv[3], 0, 1000000000, &load.count) ||
	    !number(argv[4], 0, MAX_VALUE, &load.size) ||
	    !number(argv[5], 0, 1000000000, &load.ttl) ||
	    strlen(argv[2]) > MAX_PREFIX) {
		fprintf(stderr, "usage: redis_load PORT PREFIX COUNT SIZE TTL\n");
		return 2;
	}
	load.prefix = argv[2];
	load.value = malloc((size_t)load.size + 1);
	load.out = malloc(ROOM);
	load.fd = dial((int)port);
	if (load.fd < 0) {
		fprintf(stderr, "redis_load: cannot connect to port %ld: %s\n",
			port, strerror(errno));
	} else if (load.value && load.out) {
		for (i = 0; i < load.size; i++)
			load.value[i] = (char)('a' + i % 26);
		rc = run(&load) ? 1 : 0;
		close(load.fd);
	}
	free(load.value);
	free(load.out);
	return rc;
}
