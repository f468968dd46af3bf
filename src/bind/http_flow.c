/*
 * http_flow: the bytes of an attempt, both ways: the head of its response, the body
 * into memory or a file, what of the request is to be sent next; each within its
 * limit. Called by libcurl's callbacks, on the loop: must not call libcurl.
 */
#include "bind/http.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum http_take http_on_head(struct http_xfer *x, const char *line, size_t len)
{
	x->phase = PHASE_READ;
	x->head_bytes += len;
	if (++x->head_lines > HTTP_MAX_LINES) {
		http_limit(x, "more than %d header lines", HTTP_MAX_LINES);
		return HTTP_STOP;
	}
	if (x->head_bytes > HTTP_MAX_HEAD) {
		http_limit(x, "headers are longer than %d bytes",
			   HTTP_MAX_HEAD);
		return HTTP_STOP;
	}
	if (x->head_done)
		return HTTP_TOOK;	/* trailers */
	if (len > 9 && !strncmp(line, "HTTP/", 5)) {
		const char *p = memchr(line, ' ', len), *end = line + len;

		buf_clear(&x->head);
		for (x->status = 0; p && ++p < end && *p >= '0' && *p <= '9' &&
		     x->status < 1000;)
			x->status = x->status * 10 + *p - '0';
	}
	if (len > 2 || (len && line[0] != '\r' && line[0] != '\n')) {
		buf_add(&x->head, line, len);
		return HTTP_TOOK;
	}
	if (x->status < 200)
		return HTTP_TOOK;
	x->head_done = 1;
	x->discard = http_is_redirect(x) || (http_is_busy(x) && http_may_try_again(x));
	if (x->progress && !x->discard)
		x->progress(x);
	return HTTP_TOOK;
}

static void keep_start(struct http_xfer *x, const char *data, size_t len)
{
	size_t room = sizeof x->start - x->start_len;

	if (len > room)
		len = room;
	memcpy(x->start + x->start_len, data, len);
	x->start_len += len;
}

enum http_take http_on_body(struct http_xfer *x, const char *data, size_t len)
{
	if (x->streamed && x->in.len >= HTTP_HIGH) {
		x->recv_waits = 1;
		return HTTP_PAUSE;
	}
	x->got += (long long)len;
	if (x->max_body >= 0 && x->got > x->max_body) {
		http_limit(x, "body is longer than %lld bytes", x->max_body);
		return HTTP_STOP;
	}
	if (x->start_len < sizeof x->start)
		keep_start(x, data, len);
	if (x->discard)
		return HTTP_TOOK;
	if (x->to && http_expected(x))
		return http_file_write(x, data, len) ? HTTP_STOP : HTTP_TOOK;
	if (x->to)
		return HTTP_TOOK;
	buf_add(&x->in, data, len);
	if (!buf_ok(&x->in)) {
		err_set(&x->err, ERR_LIMIT, "ENOMEM", "out of memory for the "
			"response of '%s'", x->hc->where);
		x->err.phase = PHASE_READ;
		return HTTP_STOP;
	}
	if (x->progress)
		x->progress(x);
	return HTTP_TOOK;
}

static long send_file(struct http_xfer *x, char *out, size_t size)
{
	ssize_t n;

	do
		n = read(x->body_fd, out, size);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		err_set(&x->err, ERR_IO, "", "cannot read '%s': %s",
			x->body_path, strerror(errno));
		x->err.phase = PHASE_SEND;
	}
	if (n == 0)
		x->phase = PHASE_WAIT;
	return (long)n;
}

long http_on_send(struct http_xfer *x, char *out, size_t size, int *paused)
{
	size_t n = x->body.len - x->body_at;

	if (x->kind == HTTP_FILE)
		return send_file(x, out, size);
	if (!n && !x->body_ended) {
		*paused = x->send_waits = 1;
		if (x->progress)
			x->progress(x);
		return 0;
	}
	if (!n)
		x->phase = PHASE_WAIT;
	if (n > size)
		n = size;
	memcpy(out, x->body.data + x->body_at, n);
	x->body_at += n;
	if (x->body_at == x->body.len) {
		buf_clear(&x->body);
		x->body_at = 0;
	}
	return (long)n;
}
