/*
 * kafka_event: librdkafka's queues on the loop. Each writes to an eventfd when it
 * stops being empty; the loop hears of it and the owner takes all there is. Owns
 * the eventfd and its watch; must not know what the events are.
 */
#include "bind/kafka.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_ready(void *arg, int events, int status)
{
	struct kafka_queue *kq = arg;
	uint64_t n;

	(void)events;
	(void)status;
	while (read(kq->fd, &n, sizeof n) < 0 && errno == EINTR)
		;
	kq->ready(kq);
}

int kafka_queue_open(struct kafka_queue *kq, rd_kafka_queue_t *q,
		     void (*ready)(struct kafka_queue *kq), void *arg)
{
	static const uint64_t one = 1;

	memset(kq, 0, sizeof *kq);
	kq->q = q;
	kq->ready = ready;
	kq->arg = arg;
	kq->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q && kq->fd >= 0)
		kq->watch = loop_watch_new(kq->fd, on_ready, kq);
	if (!kq->watch || loop_watch_set(kq->watch, LOOP_READ)) {
		kafka_queue_close(kq);
		return -1;
	}
	loop_watch_idle(kq->watch, 1);
	rd_kafka_queue_io_event_enable(q, kq->fd, &one, sizeof one);
	/* what is in it already is not told */
	if (write(kq->fd, &one, sizeof one) < 0) {
		kafka_queue_close(kq);
		return -1;
	}
	return 0;
}

void kafka_queue_close(struct kafka_queue *kq)
{
	if (kq->q) {
		rd_kafka_queue_io_event_enable(kq->q, -1, NULL, 0);
		rd_kafka_queue_destroy(kq->q);
	}
	if (kq->watch)
		loop_watch_idle(kq->watch, 0);
	loop_watch_free(kq->watch);
	if (kq->ready && kq->fd >= 0)
		close(kq->fd);
	memset(kq, 0, sizeof *kq);
	kq->fd = -1;
}
