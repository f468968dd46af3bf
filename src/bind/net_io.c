/*
 * net_io: reading into the owner's buffer and writing from it. The read watcher
 * stays armed; write interest is on only after a short write.
 */
#include "bind/net_impl.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define READ_MAX (256 * 1024)
#define READ_TURN (1024 * 1024)	/* then the owner looks at it */
#define TLS_RECORD 16384

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0		/* the process ignores SIGPIPE */
#endif

static void peer_closed(struct net *n)
{
	err_set(&n->err, ERR_CONNECT, "EOF", "'%s' closed the connection",
		n->peer);
	n->err.phase = PHASE_READ;
}

/* Reads at most `room` bytes at `at`. >0 bytes, 0 nothing now, -1 ended. */
static ssize_t read_some(struct net *n, char *at, size_t room)
{
	ssize_t r;
	size_t got;

	if (n->tls) {
		switch (tls_read(n->tls, at, room, &got, &n->err)) {
		case TLS_OK:
			return (ssize_t)got;
		case TLS_WANT_READ:
		case TLS_WANT_WRITE:
			return 0;
		case TLS_EOF:
			peer_closed(n);
			return -1;
		default:
			n->err.phase = PHASE_READ;
			return -1;
		}
	}
	do
		r = recv(n->fd, at, room, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return r;
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (r == 0)
		peer_closed(n);
	else
		net_errno(n, errno, "lost the connection to", PHASE_READ);
	return -1;
}

/* One read into the owner's buffer: as read_some, and *full when it took all
 * the room (there may be more). */
static ssize_t read_once(struct net *n, int *full)
{
	char *at = buf_reserve(n->in, n->chunk);
	size_t room;
	ssize_t r;

	if (!at) {
		net_fail_memory(n, "cannot read from");
		return -1;
	}
	room = n->in->cap - n->in->len - 1;
	r = read_some(n, at, room);
	*full = r > 0 && (size_t)r == room;
	if (r > 0) {
		n->in->len += (size_t)r;
		n->in->data[n->in->len] = '\0';
	}
	if (*full && n->chunk < READ_MAX)
		n->chunk *= 2;
	return r;
}

void net_read(struct net *n, int last)
{
	size_t total = 0;
	ssize_t r;
	int full = 0, more;

	do {
		r = read_once(n, &full);
		total += r > 0 ? (size_t)r : 0;
		/* TLS may hold more, and that wakes nobody */
		more = n->tls || last ? r > 0 : full && total < READ_TURN;
		if (total > 0 && (!more || total >= READ_TURN)) {
			n->ev->readable(n->arg);
			total = 0;
		}
	} while (more && n->state == NET_OPEN);
	if (r == 0 && last && n->state == NET_OPEN)
		net_errno(n, ECONNRESET, "lost the connection to", PHASE_READ);
	if ((r < 0 || (r == 0 && last)) && n->state == NET_OPEN)
		net_fail(n);
}

size_t net_write(struct net *n, const char *data, size_t len)
{
	size_t done = 0, k = 0;
	ssize_t r;

	if (n->state != NET_OPEN)
		return 0;
	n->sealed = 0;
	while (done < len) {
		if (n->tls) {
			enum tls_result t = tls_write(n->tls, data + done,
						len - done, &k, &n->err);

			if (t == TLS_OK) {
				done += k;
				continue;
			}
			n->sealed = len - done < TLS_RECORD ? len - done :
				    TLS_RECORD;
			break;
		}
		r = send(n->fd, data + done, len - done, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		/* a broken stream is read to its end first: the server may
		 * have said why */
		if (r < 0) {
			n->paused = n->paused && errno == EAGAIN;
			break;
		}
		done += (size_t)r;
	}
	n->write_waits = done < len;
	net_rearm(n);
	return done;
}

int net_waiting(const struct net *n)
{
	struct pollfd p = { .fd = n->fd, .events = POLLIN };

	return n->state == NET_OPEN && poll(&p, 1, 0) != 0;
}

void net_pause(struct net *n, int paused)
{
	n->paused = paused;
	net_rearm(n);
}
