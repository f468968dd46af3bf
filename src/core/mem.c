/*
 * mem: malloc with one place for failure injection (test builds only).
 */
#include "core/mem.h"

#ifdef OPSH_TEST
#include <stdatomic.h>
#endif
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* What is kept of freed memory, the size from which a block is the kernel's own, and
 * what is asked of it at a time: bytes. */
#define KEEP (64 << 20)
#define OWN (8 << 20)
#define STEP (1 << 20)

#ifdef OPSH_TEST
/* threads of the pool allocate too */
static _Atomic long fail_at;
static _Atomic long count;

long mem_count(void)
{
	return count;
}

void mem_fail_at(long n)
{
	fail_at = n > 0 ? mem_count() + n : 0;
}

int mem_should_fail(void)
{
	long n = atomic_fetch_add(&count, 1) + 1, at = fail_at;

	return at && (n == at || n == at + 1);
}
#endif

void mem_keep(void)
{
#ifdef __GLIBC__
	mallopt(M_TRIM_THRESHOLD, KEEP);
	mallopt(M_MMAP_THRESHOLD, OWN);
	mallopt(M_TOP_PAD, STEP);
#endif
}

void *mem_alloc(size_t size)
{
	if (mem_should_fail())
		return NULL;
	return malloc(size ? size : 1);
}

void *mem_zalloc(size_t size)
{
	if (mem_should_fail())
		return NULL;
	return calloc(1, size ? size : 1);
}

void *mem_realloc(void *ptr, size_t size)
{
	if (mem_should_fail())
		return NULL;
	return realloc(ptr, size ? size : 1);
}

char *mem_memdup(const char *s, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *mem_strdup(const char *s)
{
	return mem_memdup(s, strlen(s));
}

void mem_free(void *ptr)
{
	free(ptr);
}

void mem_wipe(void *ptr, size_t len)
{
	if (ptr && len)
		explicit_bzero(ptr, len);
}
