/*
 * mem: every allocation of ours that is not Lua's or a library's.
 * Returns NULL when memory is gone; test builds make the n-th call fail.
 * Must not know Lua.
 */
#ifndef OPSH_CORE_MEM_H
#define OPSH_CORE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);			/* uninitialised */
void *mem_zalloc(size_t size);			/* zeroed */
void *mem_realloc(void *ptr, size_t size);	/* old block kept on failure */
char *mem_strdup(const char *s);
char *mem_memdup(const char *s, size_t len);	/* adds a NUL */
void mem_free(void *ptr);			/* NULL allowed */
/*
 * realloc for an owner who knows the size it has (0 without a block); to 0 bytes
 * it frees. From 1 MiB on a block has pages of its own: it grows without a copy
 * beside it, and freed it is the kernel's at once.
 */
void *mem_resize(void *ptr, size_t old, size_t size);
void mem_wipe(void *ptr, size_t len);		/* not optimised away */

/*
 * Failure injection, shared by mem_alloc and the Lua allocator: the n-th
 * allocation from now and the one after it fail (Lua retries each failed
 * call once after a collection); 0 turns it off. Without OPSH_TEST both
 * are constant and cost nothing.
 */
#ifdef OPSH_TEST
void mem_fail_at(long n);
long mem_count(void);				/* allocations so far */
int mem_should_fail(void);
#else
#define mem_should_fail() 0
#endif

#endif
