/*
 * sig, keys and place: whose SIGINT is in a session, what many of them do; keys
 * and pastes cut anywhere; where the cursor of an edited line is. Each test that
 * sends signals is a process of its own, as the handlers count for its whole life.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/loop.h"
#include "core/sig.h"
#include "core/task.h"
#include "repl/keys.h"
#include "repl/place.h"

static int ints, sizes;

static void on_int(void)
{
	ints++;
}

static void on_size(void)
{
	sizes++;
}

static void begin(void)
{
	ints = sizes = 0;
	loop_init();
	task_heed_signals();
}

static void on_timer(void *arg)
{
	(void)arg;
}

/* One turn in which the wake is looked at, if there was one. */
static void turn(void)
{
	struct loop_timer *timer = loop_timer_new(0, 0, on_timer, NULL);

	loop_turn(1);
	loop_timer_free(timer);
}

/* What f, in a process of its own, ends with: its result, or 128 + signal. */
static int result_of(int (*f)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(f());
	while (waitpid(pid, &status, 0) < 0)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

static int of_the_session(void)
{
	begin();
	sig_on_int(on_int);
	raise(SIGINT);
	if (ints)
		return 1;		/* not in the handler */
	turn();
	if (ints != 1 || sig_caught())
		return 2;
	raise(SIGTERM);			/* that one ends the run */
	turn();
	return ints == 1 && sig_caught() == SIGTERM ? 0 : 3;
}

static int of_the_root(void)
{
	begin();
	sig_on_int(on_int);
	sig_on_int(NULL);
	raise(SIGINT);
	turn();
	return !ints && sig_caught() == SIGINT ? 0 : 1;
}

static int many_that_are_taken(void)
{
	int i;

	begin();
	sig_on_int(on_int);
	for (i = 0; i < 20; i++) {
		raise(SIGINT);
		turn();
	}
	for (i = 0; i < 20; i++)	/* hammered in less than SIG_STUCK */
		raise(SIGINT);
	turn();
	return ints == 21 ? 0 : 1;
}

static int stuck(void)
{
	begin();
	sig_on_int(on_int);
	raise(SIGINT);
	raise(SIGINT);
	usleep((useconds_t)(SIG_STUCK * 1.05e6));
	raise(SIGINT);			/* nobody took the first */
	return 0;
}

static int resized(void)
{
	begin();
	sig_on_resize(on_size);
	raise(SIGWINCH);
	if (sizes)
		return 1;
	turn();
	sig_on_resize(NULL);
	raise(SIGWINCH);
	turn();
	return sizes == 1 ? 0 : 2;
}

static void sigint_is_its_takers(void **state)
{
	(void)state;
	assert_int_equal(result_of(of_the_session), 0);
	assert_int_equal(result_of(of_the_root), 0);
}

static void only_what_is_stuck_is_left(void **state)
{
	(void)state;
	assert_int_equal(result_of(many_that_are_taken), 0);
	assert_int_equal(result_of(stuck), 130);
}

static void sizes_are_told_on_the_loop(void **state)
{
	(void)state;
	assert_int_equal(result_of(resized), 0);
}

static void nobody_is_in_the_foreground(void **state)
{
	(void)state;
	task_set_foreground(NULL);
	assert_null(task_foreground());
	assert_null(task_hog(0));
}

static int row(const char *prompt, const char *text, int columns)
{
	return place_row(prompt, text, strlen(text), columns);
}

static void rows_are_the_terminals(void **state)
{
	(void)state;
	assert_int_equal(row("> ", "", 10), 0);
	assert_int_equal(row("> ", "1234567", 10), 0);
	assert_int_equal(row("> ", "12345678", 10), 1);	/* it has wrapped */
	assert_int_equal(row("> ", "123456789", 10), 1);
	assert_int_equal(row("\1\x1b[31m\2> \1\x1b[0m\2", "1234567", 10), 0);
	assert_int_equal(row("> ", "a\nb\nc", 10), 2);
	assert_int_equal(row("> ", "\tx", 10), 0);	/* to column 8 */
	assert_int_equal(row("> ", "\t12", 10), 1);
	/* wide ones don't stand half on a row */
	assert_int_equal(row("> ", "\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5", 10), 0);
	assert_int_equal(row(">", "\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5"
			     "\xe6\x97\xa5\xe6\x97\xa5", 10), 1);
	assert_int_equal(row("> ", "\x01\x02\x03\x04\x05", 10), 1);	/* ^A */
	assert_int_equal(row("", "", 0), 0);
}

/* What comes of these bytes when they arrive in pieces of `size`: keys between
 * <>, pastes between [], `+` where more is waited for at the end. */
static const char *cut(const char *bytes, size_t len, size_t size)
{
	static char out[512];
	struct keys k = KEYS_INIT;
	enum keys_piece piece;
	const char *data;
	size_t at, n, o = 0;

	for (at = 0; at < len; at += size) {
		keys_add(&k, bytes + at, size < len - at ? size : len - at);
		while ((piece = keys_next(&k, &data, &n)) != KEYS_NONE) {
			out[o++] = piece == KEYS_TYPED ? '<' : '[';
			memcpy(out + o, data, n);
			o += n;
			out[o++] = piece == KEYS_TYPED ? '>' : ']';
		}
	}
	if (keys_cut(&k))
		out[o++] = '+';
	out[o] = '\0';
	keys_release(&k);
	return out;
}

#define BEGIN "\x1b[200~"
#define END "\x1b[201~"

static void keys_come_whole(void **state)
{
	static const char *const rows[][2] = {
		{ "ab", "<a><b>" },
		{ "\xe6\x97\xa5x", "<\xe6\x97\xa5><x>" },
		{ "\x1b[A\x1bOP\x1b[1;5Cx", "<\x1b[A><\x1bOP><\x1b[1;5C><x>" },
		{ "\x1b" "bx", "<\x1b><b><x>" },
		{ "x\x1b", "<x>+" }, { "x\x1b[1", "<x>+" }, { "\xe6\x97", "+" },
		{ "\xff\xc3'", "<\xff><\xc3><'>" },
		{ "\xed\xa0\x80", "<\xed><\xa0><\x80>" },	/* a surrogate */
		{ BEGIN "a\tb\nc" END "d", "[a\tb\nc]<d>" },
		{ BEGIN "a\r\nb\rc\n\nd" END, "[a\nb\nc\n\nd]" },
		{ BEGIN END BEGIN "x\x1b[20y" END, "[][x\x1b[20y]" },
		{ BEGIN "never", "" },
	};
	size_t i, size;

	(void)state;
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (size = 1; size < 20; size++)
			assert_string_equal(cut(rows[i][0], strlen(rows[i][0]),
						size), rows[i][1]);
	assert_string_equal(cut(BEGIN "a\0b" END, 15, 4), "[ab]");
}

static void the_rest_of_a_key_is_taken_as_it_is(void **state)
{
	struct keys k = KEYS_INIT;
	const char *data;
	size_t n;

	(void)state;
	keys_add(&k, "\x1b", 1);
	assert_int_equal(keys_next(&k, &data, &n), KEYS_NONE);
	assert_true(keys_cut(&k));
	assert_int_equal(keys_rest(&k, &data), 1);
	assert_int_equal(data[0], 0x1b);
	assert_false(keys_cut(&k));
	keys_add(&k, "x", 1);
	assert_int_equal(keys_next(&k, &data, &n), KEYS_TYPED);
	keys_add(&k, BEGIN "x", 7);
	assert_int_equal(keys_next(&k, &data, &n), KEYS_NONE);
	assert_false(keys_cut(&k));		/* a paste is waited for */
	keys_clear(&k);
	keys_add(&k, "y", 1);
	assert_int_equal(keys_next(&k, &data, &n), KEYS_TYPED);
	keys_release(&k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sigint_is_its_takers),
		cmocka_unit_test(only_what_is_stuck_is_left),
		cmocka_unit_test(sizes_are_told_on_the_loop),
		cmocka_unit_test(nobody_is_in_the_foreground),
		cmocka_unit_test(rows_are_the_terminals),
		cmocka_unit_test(keys_come_whole),
		cmocka_unit_test(the_rest_of_a_key_is_taken_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
