/*
 * mem: malloc with one place for failure injection (test builds only), and pages
 * for what is large.
 */
#include "core/mem.h"

#ifdef OPSH_TEST
#include <stdatomic.h>
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* --- large blocks ------------------------------------------------------------- */
#define OWN_PAGES ((size_t)1 << 20)
#define UNIT ((size_t)64 << 10)		/* a multiple of each page size there is */

/* Only Linux grows pages in place; and ASan watches malloc's blocks alone. */
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define owns_pages(size) ((size) >= OWN_PAGES)
#else
#define owns_pages(size) ((void)(size), 0)
#endif

static size_t paged(size_t size)
{
	return size > SIZE_MAX - UNIT ? SIZE_MAX / UNIT * UNIT :
		(size + UNIT - 1) / UNIT * UNIT;
}

static void *map(size_t size)
{
	void *p = mmap(NULL, paged(size), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void drop(void *ptr, size_t old)
{
	if (owns_pages(old))
		munmap(ptr, paged(old));
	else
		free(ptr);
}

/* From one kind of block to the other. */
static void *move(void *ptr, size_t old, size_t size)
{
	void *p = owns_pages(size) ? map(size) : malloc(size);

	if (!p)
		return NULL;
	if (ptr) {
		memcpy(p, ptr, old < size ? old : size);
		drop(ptr, old);
	}
	return p;
}

/* A smaller block of the same kind always succeeds: the old one will do. */
void *mem_resize(void *ptr, size_t old, size_t size)
{
	void *p;

	if (!size) {
		if (ptr)
			drop(ptr, old);
		return NULL;
	}
	if (size > old && mem_should_fail())
		return NULL;
	if (owns_pages(old) != owns_pages(size))
		return move(ptr, old, size);
	if (!owns_pages(size)) {
		p = realloc(ptr, size);
	} else {
		p = mremap(ptr, paged(old), paged(size), MREMAP_MAYMOVE);
		if (p == MAP_FAILED)
			p = NULL;
	}
	return p || size > old ? p : ptr;
}

/* --- blocks --------------------------------------------------------------------- */
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
