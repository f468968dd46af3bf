/*
 * fail: reads OPSH_FAIL. Test builds only.
 */
#include "core/fail.h"

#ifdef OPSH_TEST
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fail_point(const char *name)
{
	static struct {
		const char *name;
		int calls;
	} seen[8];
	static char last[256];
	const char *env = getenv("OPSH_FAIL");
	size_t len = strlen(name);
	const char *at;
	char *end;
	long code, n;
	int i;

	if (strncmp(last, env ? env : "", sizeof last - 1)) {
		/* told anew: calls count from here */
		snprintf(last, sizeof last, "%s", env ? env : "");
		memset(seen, 0, sizeof seen);
	}
	for (at = env; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1
						       : NULL) {
		if (strncmp(at, name, len) || at[len] != '=')
			continue;
		for (i = 0; i < 7 && seen[i].name &&
		     strcmp(seen[i].name, name); i++)
			;
		seen[i].name = name;
		seen[i].calls++;
		code = strtol(at + len + 1, &end, 10);
		n = *end == '@' ? strtol(end + 1, &end, 10) : 0;
		if (!n || seen[i].calls == n ||
		    (*end == '+' && seen[i].calls > n))
			return (int)code;
	}
	return 0;
}
#else
/* ISO C wants a declaration in every file */
extern int fail_unused;
#endif
