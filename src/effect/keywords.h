/*
 * keywords: settings by name that a binding hands to its library: connection
 * keywords, properties. Values may be secrets: those are given to the redactor, and
 * all are wiped at the end. Zeroed is empty. Knows no name.
 */
#ifndef OPSH_EFFECT_KEYWORDS_H
#define OPSH_EFFECT_KEYWORDS_H

#include <lua.h>

#define KEYWORDS_MAX 64

struct keywords {
	char *key[KEYWORDS_MAX], *value[KEYWORDS_MAX];	/* owned */
	int n;
};

/* [-0, +0, v] Adds those of the table in the field `field` of the table at arg:
 * strings and secrets; none when there is no such table. */
void keywords_read(lua_State *L, int arg, const char *field,
		   struct keywords *k);
/* The value, or NULL. */
const char *keywords_get(const struct keywords *k, const char *key);
void keywords_release(struct keywords *k);

#endif
