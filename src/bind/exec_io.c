/*
 * exec_io: what goes between a job and its programs: their output, taken as it
 * comes and kept up to a bound, their input, written as they take it. What that
 * means for the job, exec_job.c finds. Owns the descriptors and watches of our
 * ends; knows no job, touches no Lua value.
 */
#include "bind/exec.h"

#include <errno.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/mem.h"

#define CHUNK 65536
#define AT_ONCE 16	/* chunks a turn: others want theirs */

void exec_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void exec_wipe(struct buf *b)
{
	if (b->cap)
		mem_wipe(b->data, b->cap);
	buf_release(b);
}

/* --- output ------------------------------------------------------------------ */
void exec_out_close(struct exec_out *o)
{
	loop_watch_free(o->watch);
	o->watch = NULL;
	exec_close_fd(&o->fd);
}

size_t exec_out_left(const struct exec_out *o)
{
	return o->data.len - o->taken;
}

static void out_keep(struct exec_out *o, const char *data, size_t n)
{
	size_t fits = o->max > exec_out_left(o) ? o->max - exec_out_left(o) : 0;

	if (o->hold)		/* its reader judges; hold bounds it */
		fits = n;
	o->total += (long long)n;
	if (o->taken > CHUNK && o->taken > exec_out_left(o)) {
		buf_consume(&o->data, o->taken);
		o->taken = 0;
	}
	if (fits < n) {
		o->over = 1;
		n = fits;
	}
	buf_add(&o->data, data, n);
}

/* Takes what is there; 1 when the end of it is. */
int exec_out_take(struct exec_out *o)
{
	char chunk[CHUNK];
	ssize_t n = 0;
	int i;

	for (i = 0; i < AT_ONCE && o->fd >= 0; i++) {
		if (o->hold && exec_out_left(o) >= o->hold) {
			if (o->watch)
				loop_watch_set(o->watch, 0);
			return 0;
		}
		n = read(o->fd, chunk, sizeof chunk);
		if (n > 0)
			out_keep(o, chunk, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			exec_out_close(o);
		else
			return 0;
	}
	return o->fd < 0;
}

void exec_out_resume(struct exec_out *o)
{
	if (o->watch)
		loop_watch_set(o->watch, LOOP_READ);
}

/* --- input ------------------------------------------------------------------- */
void exec_in_close(struct exec_in *in)
{
	loop_watch_free(in->watch);
	in->watch = NULL;
	exec_close_fd(&in->fd);
	exec_wipe(&in->data);
	in->off = 0;
}

/* A reader that went away took what it wanted: its status tells. */
int exec_in_write(struct exec_in *in)
{
	ssize_t n = 0;

	while (in->fd >= 0 && in->off < in->data.len) {
		n = write(in->fd, in->data.data + in->off,
			  in->data.len - in->off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		in->off += (size_t)n;
	}
	if (n < 0 && errno == EAGAIN) {
		loop_watch_set(in->watch, LOOP_WRITE);
		return 0;
	}
	if (n < 0 || in->ends) {
		exec_in_close(in);
	} else if (in->fd >= 0) {
		loop_watch_set(in->watch, 0);
		buf_clear(&in->data);
		in->off = 0;
	}
	return 1;
}
