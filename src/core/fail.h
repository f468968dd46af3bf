/*
 * fail: failpoints for test builds. OPSH_FAIL="name=errno@n[,..]" makes the
 * n-th call (0: each; "@n+": from the n-th) of fail_point("name") return errno;
 * else 0.
 */
#ifndef OPSH_CORE_FAIL_H
#define OPSH_CORE_FAIL_H

#ifdef OPSH_TEST
int fail_point(const char *name);
#else
#define fail_point(name) 0
#endif

#endif
