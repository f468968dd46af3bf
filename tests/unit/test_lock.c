/*
 * The lease without a keeper: how long it is, what ends it, what a write is told
 * then. The wait for the store and the steps are in tests/spec/lock_spec.lua. Must
 * not start a task.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/exit.h"
#include "core/loop.h"
#include "effect/lock.h"
#include "effect/lock_impl.h"

static struct target cache = { .name = "cache", .kind = "redis" };
static const struct effect_call call = {
	.target = &cache, .cls = EFFECT_WRITE, .verb = "SET"
};

static void take(double ttl, double age)
{
	memset(&lock_held, 0, sizeof lock_held);
	lock_held.held = 1;
	snprintf(lock_held.resource, sizeof lock_held.resource, "thing");
	snprintf(lock_held.store, sizeof lock_held.store, "db");
	lock_held.ttl = ttl;
	lock_held.bound = ttl / 3 < 1 ? ttl / 3 : 1;
	lock_confirmed(loop_now() - age, 1);
}

static void test_none(void **state)
{
	struct err e;

	(void)state;
	memset(&lock_held, 0, sizeof lock_held);
	assert_int_equal(lock_judge(NULL, &call, &e), 0);
	assert_string_equal(lock_resource(), "");
	assert_false(lock_is_own(0));
}

static void test_fresh(void **state)
{
	struct err e;

	(void)state;
	take(30, 0);
	assert_int_equal(lock_judge(NULL, &call, &e), 0);
	assert_string_equal(lock_resource(), "thing");
}

/* The lease counts from before the request, less what may be on its way. */
static void test_margin(void **state)
{
	double now = loop_now();

	(void)state;
	take(30, 0);
	assert_true(lock_held.expiry - now > 28.9);
	assert_true(lock_held.expiry - now < 29.1);
	take(3, 1);
	assert_true(lock_held.expiry - now > 1.6);
	assert_true(lock_held.expiry - now < 1.8);
}

/* A reading confirms, and makes no lease longer; late answers take nothing back. */
static void test_confirm(void **state)
{
	double expiry, now = loop_now();

	(void)state;
	take(30, 10);
	expiry = lock_held.expiry;
	lock_confirmed(now, 0);
	assert_true(lock_held.expiry == expiry);
	assert_true(lock_held.confirmed == now);
	lock_confirmed(now - 5, 1);
	assert_true(lock_held.confirmed == now);
	assert_true(lock_held.expiry > expiry);
	expiry = lock_held.expiry;
	lock_confirmed(now - 8, 1);
	assert_true(lock_held.expiry == expiry);
}

static void test_lost(void **state)
{
	struct err e;

	(void)state;
	take(30, 0);
	lock_lose("it is held by eve");
	lock_lose("something later");
	lock_unreachable("later still");
	lock_confirmed(loop_now(), 1);
	assert_int_equal(lock_judge(NULL, &call, &e), -1);
	assert_string_equal(e.message, "lock lost: 'thing': it is held by eve; "
			    "'SET' on 'cache' was not sent");
	assert_int_equal(e.kind, ERR_REFUSED);
	assert_int_equal(e.outcome, OUTCOME_REFUSED);
	assert_string_equal(e.code, "LOCK");
	assert_int_equal(exit_code_of(&e), EXIT_BUSY);
}

static void test_ended(void **state)
{
	struct err e;

	(void)state;
	take(30, 40);
	assert_int_equal(lock_judge(NULL, &call, &e), -1);
	assert_non_null(strstr(e.message, "its lease ran out 11.0 s ago"));
	/* for good: somebody may have had it meanwhile */
	lock_confirmed(loop_now(), 1);
	assert_int_equal(lock_judge(NULL, &call, &e), -1);
	take(30, 40);
	lock_unreachable("connection refused");
	assert_int_equal(lock_judge(NULL, &call, &e), -1);
	assert_non_null(strstr(e.message, "not renewed: connection refused;"));
}

/* Right before the send only the lease counts, and no one is asked. */
static void test_recheck(void **state)
{
	struct err e;

	(void)state;
	take(30, 20);
	assert_int_equal(lock_recheck(&call, &e), 0);
	take(30, 29.5);
	assert_int_equal(lock_recheck(&call, &e), -1);
	assert_int_equal(e.outcome, OUTCOME_REFUSED);
	take(30, 0);
	lock_lose("it is held by eve");
	assert_int_equal(lock_recheck(&call, &e), -1);
	lock_held.held = 0;
	assert_int_equal(lock_recheck(&call, &e), 0);
}

/* An answer to what was asked before a stall ends no wait. */
static void test_old_answer(void **state)
{
	int over = 0;

	(void)state;
	take(30, 5);
	lock_held.over = &over;
	lock_held.need = loop_now() - lock_held.bound;
	lock_confirmed(loop_now() - 3, 1);
	assert_int_equal(over, 0);
	lock_confirmed(loop_now(), 0);
	assert_int_equal(over, 1);
	assert_null(lock_held.over);
	over = 0;
	lock_held.over = &over;
	lock_unreachable("no answer");
	assert_int_equal(over, 1);
	assert_true(lock_held.unreachable > 0);
	lock_confirmed(loop_now(), 0);
	assert_true(lock_held.unreachable == 0);
}

static void test_long_reason(void **state)
{
	static char why[4096];
	struct err e;

	(void)state;
	memset(why, 'x', sizeof why - 1);
	take(30, 0);
	lock_lose(why);
	assert_int_equal(strlen(lock_held.why), LOCK_WHY - 1);
	assert_int_equal(lock_judge(NULL, &call, &e), -1);
	assert_int_equal(e.outcome, OUTCOME_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none), cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_margin), cmocka_unit_test(test_confirm),
		cmocka_unit_test(test_lost), cmocka_unit_test(test_ended),
		cmocka_unit_test(test_recheck), cmocka_unit_test(test_old_answer),
		cmocka_unit_test(test_long_reason)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
