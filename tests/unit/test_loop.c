/*
 * loop: timers are never early, descriptors are watched, work and names are done or
 * abandoned, a wake ends a turn; nothing is left open. Must not need anything of Lua.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/err.h"
#include "core/loop.h"

static int fired;

static void on_timer(void *arg)
{
	(void)arg;
	fired++;
}

static void timers_are_never_early(void **state)
{
	static const double waits[] = { 0, 0.0001, 0.001, 0.0015, 0.01, 0.0333 };
	struct loop_timer *t;
	double began;
	size_t i;
	int round;

	(void)state;
	for (round = 0; round < 10; round++) {
		for (i = 0; i < sizeof waits / sizeof *waits; i++) {
			fired = 0;
			began = loop_now();
			t = loop_timer_new(waits[i], 0, on_timer, NULL);
			assert_non_null(t);
			while (!fired)
				loop_turn(1);
			assert_true(loop_now() - began >= waits[i]);
			loop_timer_free(t);
		}
	}
	t = loop_timer_new(1e300, 0, on_timer, NULL);
	assert_non_null(t);
	loop_turn(0);
	loop_timer_free(t);
	loop_timer_free(NULL);
	assert_int_equal(loop_handles(), 0);
}

static void on_ready(void *arg, int events, int status)
{
	(void)status;
	*(int *)arg |= events;
}

static void descriptors_are_watched(void **state)
{
	struct loop_watch *w;
	int fds[2], seen = 0;

	(void)state;
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	w = loop_watch_new(fds[0], on_ready, &seen);
	assert_non_null(w);
	assert_int_equal(loop_watch_set(w, LOOP_READ), 0);
	loop_turn(0);
	assert_int_equal(seen, 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	loop_turn(1);
	assert_int_equal(seen, LOOP_READ);
	assert_int_equal(loop_watch_set(w, 0), 0);
	seen = 0;
	loop_turn(0);
	assert_int_equal(seen, 0);
	loop_watch_free(w);
	loop_watch_free(NULL);
	close(fds[0]);
	close(fds[1]);
	assert_null(loop_watch_new(-1, on_ready, &seen));
	assert_int_equal(loop_handles(), 0);
}

static void work(void *arg)
{
	usleep(2000);
	*(int *)arg += 1;
}

static int done_calls, done_abandoned;

static void work_done(void *arg, int abandoned)
{
	(void)arg;
	done_calls++;
	done_abandoned += abandoned;
}

static void work_is_done_or_abandoned(void **state)
{
	struct loop_work *w[20];
	int count[20] = { 0 }, i;

	(void)state;
	done_calls = done_abandoned = 0;
	for (i = 0; i < 20; i++) {
		w[i] = loop_work_new(work, work_done, &count[i]);
		assert_non_null(w[i]);
	}
	for (i = 10; i < 20; i++)
		loop_work_abandon(w[i]);
	while (done_calls < 20)
		loop_turn(1);
	assert_int_equal(done_abandoned, 10);
	for (i = 0; i < 10; i++)
		assert_int_equal(count[i], 1);
}

static int resolved_n, resolved_calls;
static struct err resolved_err;

static void on_resolved(void *arg, const struct loop_addr *addrs, int n,
			const struct err *e)
{
	(void)arg;
	(void)addrs;
	resolved_n = n;
	resolved_calls++;
	if (e)
		resolved_err = *e;
}

static void names_are_resolved(void **state)
{
	static const char *const good[] = { "127.0.0.1", "::1" };
	static const char *const bad[] = { "1.2.3.4.5", "zz::zz", "999.1.1.1" };
	struct loop_resolve *r;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		resolved_calls = resolved_n = 0;
		memset(&resolved_err, 0, sizeof resolved_err);
		r = loop_resolve_new(i < 2 ? good[i] : bad[i - 2], "80",
				     on_resolved, NULL);
		assert_non_null(r);
		while (!resolved_calls)
			loop_turn(1);
		if (i < 2) {
			assert_true(resolved_n >= 1);
		} else {
			assert_int_equal(resolved_n, 0);
			assert_int_equal(resolved_err.kind, ERR_CONNECT);
			assert_int_equal(resolved_err.phase, PHASE_DNS);
			assert_non_null(strstr(resolved_err.message,
					       bad[i - 2]));
		}
	}
	resolved_calls = 0;
	r = loop_resolve_new("127.0.0.1", "80", on_resolved, NULL);
	assert_non_null(r);
	loop_resolve_abandon(r);
	for (i = 0; i < 20; i++) {
		loop_turn(0);
		usleep(1000);
	}
	assert_int_equal(resolved_calls, 0);
}

static void a_wake_ends_a_turn(void **state)
{
	(void)state;
	loop_wake();
	loop_turn(1);		/* nothing else would end it */
	/* a full pipe wakes as well, and blocks nobody */
	for (int i = 0; i < 100000; i++)
		loop_wake();
	loop_turn(1);
}

/* Whatever is left is closed: what a failure left behind has no owner. */
static void release_closes_what_is_left(void **state)
{
	int fds[2], seen = 0;
	struct loop_watch *w;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	w = loop_watch_new(fds[0], on_ready, &seen);
	assert_non_null(w);
	loop_watch_set(w, LOOP_READ);
	assert_non_null(loop_timer_new(0, 0, on_timer, NULL));
	fired = 0;
	loop_release();
	loop_release();
	assert_int_equal(fired, 0);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_are_never_early),
		cmocka_unit_test(descriptors_are_watched),
		cmocka_unit_test(work_is_done_or_abandoned),
		cmocka_unit_test(names_are_resolved),
		cmocka_unit_test(a_wake_ends_a_turn),
		cmocka_unit_test(release_closes_what_is_left),
	};

	if (loop_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
