/*
 * Specs for core/mem's blocks of known size: what is in them goes along as they
 * grow and shrink past the size from which they have pages of their own, those
 * pages are given back at once, and a failed step leaves the old block as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"

#define K ((size_t)1 << 10)
#define M ((size_t)1 << 20)

static void fill(unsigned char *p, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++)
		p[i] = (unsigned char)(i * 31 + (i >> 12));
}

static void holds(const unsigned char *p, size_t to)
{
	size_t i;

	for (i = 0; i < to; i++)
		if (p[i] != (unsigned char)(i * 31 + (i >> 12)))
			fail_msg("byte %zu is lost", i);
}

static void contents_go_along(void **state)
{
	static const size_t sizes[] = {
		1, 100, 64 * K, M - 1, M, M + 1, M + 64 * K, 5 * M, 9 * M + 7,
		5 * M, 5 * M - 1, M, M - 1, 2 * M, 10, 3 * M, 1,
	};
	unsigned char *p = NULL;
	size_t old = 0, i;

	(void)state;
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t size = sizes[i];

		p = mem_resize(p, old, size);
		assert_non_null(p);
		holds(p, old < size ? old : size);
		fill(p, old < size ? old : 0, size);
		old = size;
	}
	assert_null(mem_resize(p, old, 0));
	assert_null(mem_resize(NULL, 0, 0));
}

static void a_failed_step_loses_nothing(void **state)
{
	static const size_t sizes[] = { 10, 64 * K, M - 1, M, 3 * M };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		unsigned char *p = mem_resize(NULL, 0, sizes[i]);

		assert_non_null(p);
		fill(p, 0, sizes[i]);
		mem_fail_at(1);
		assert_null(mem_resize(p, sizes[i], 4 * M));
		mem_fail_at(0);
		holds(p, sizes[i]);
#ifndef __SANITIZE_ADDRESS__		/* ends the process at such a size */
		assert_null(mem_resize(p, sizes[i], SIZE_MAX / 2));
		holds(p, sizes[i]);
#endif
		mem_resize(p, sizes[i], 0);
	}
}

#ifndef __SANITIZE_ADDRESS__			/* has malloc's blocks alone */
static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t all, here;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu %zu", &all, &here), 2);
	fclose(f);
	return here * 4 * K;
}

static void pages_are_given_back(void **state)
{
	size_t before = resident(), size = M;
	unsigned char *p = mem_resize(NULL, 0, size);

	(void)state;
	memset(p, 1, size);
	for (; size < 64 * M; size *= 2) {
		p = mem_resize(p, size, size * 2);
		assert_non_null(p);
		/* no copy stood beside it */
		assert_true(resident() < before + size + 2 * M);
		memset(p + size, 1, size);
	}
	assert_true(resident() > before + size - 2 * M);
	mem_resize(p, size, 0);
	assert_true(resident() < before + 2 * M);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents_go_along),
		cmocka_unit_test(a_failed_step_loses_nothing),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(pages_are_given_back),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
