/*
 * redis_class: what a command does. The connected server's own COMMAND flags
 * decide (asked once a command); redis_table.c holds what they don't say.
 */
#include "bind/redis.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

/* Appends s in upper case; -1 when it can't be (part of) a name. */
static int add_upper(char *out, size_t *at, const char *s, size_t len)
{
	size_t i;

	if (len == 0 || *at + len >= REDIS_NAME)
		return -1;
	for (i = 0; i < len; i++) {
		if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 0x7f ||
		    s[i] == '|')
			return -1;
		out[(*at)++] = (char)toupper((unsigned char)s[i]);
	}
	out[*at] = '\0';
	return 0;
}

int redis_command_name(char out[REDIS_NAME], const char *name, size_t len,
		       const char *sub, size_t sub_len)
{
	size_t at = 0;

	if (add_upper(out, &at, name, len) < 0)
		return -1;
	if (!sub || !redis_is_container(out))
		return 0;
	if (at + 1 >= REDIS_NAME)
		return -1;
	out[at++] = '|';
	out[at] = '\0';
	/* a second word that is no name: the server will say so */
	if (add_upper(out, &at, sub, sub_len) < 0)
		out[strcspn(out, "|")] = '\0';
	return 0;
}

/* --- what the server said ------------------------------------------------ */
static size_t hash(const char *s)
{
	size_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

static struct redis_known *place(struct redis_known *at, size_t cap,
				 const char *name)
{
	size_t i = hash(name) & (cap - 1);

	while (at[i].name[0] && strcmp(at[i].name, name) != 0)
		i = (i + 1) & (cap - 1);
	return &at[i];
}

struct redis_known *redis_known(struct redis_classes *k, const char *name)
{
	struct redis_known *at;

	if (!k->cap)
		return NULL;
	at = place(k->at, k->cap, name);
	return at->name[0] ? at : NULL;
}

static struct redis_known *add_known(struct redis_classes *k, const char *name)
{
	struct redis_known *at = redis_known(k, name), *bigger;
	size_t cap, i;

	if (at)
		return at;
	if (k->used * 4 >= k->cap * 3) {
		cap = k->cap ? k->cap * 2 : 16;
		bigger = mem_zalloc(cap * sizeof *bigger);
		if (!bigger)
			return NULL;
		for (i = 0; i < k->cap; i++)
			if (k->at[i].name[0])
				*place(bigger, cap, k->at[i].name) = k->at[i];
		mem_free(k->at);
		k->at = bigger;
		k->cap = cap;
	}
	at = place(k->at, k->cap, name);
	memcpy(at->name, name, strlen(name) + 1);
	k->used++;
	return at;
}

/* Forgets what was learned; questions on their way stay asked. */
void redis_forget(struct redis_classes *k)
{
	size_t i;

	for (i = 0; i < k->cap; i++)
		k->at[i].flags &= REDIS_F_ASKED;
}

struct learn {
	struct redis_req req;
	char name[REDIS_NAME];
};

/* The flags out of a COMMAND INFO reply: [[name, arity, [flags..], ..]]. */
static unsigned read_flags(const char *p, const char *end)
{
	static const struct { const char *word; unsigned flag; } words[] = {
		{ "readonly", REDIS_F_READONLY }, { "write", REDIS_F_WRITE },
		{ "blocking", REDIS_F_BLOCKING },
	};
	struct resp_item it;
	unsigned flags = REDIS_F_LISTED;
	long long n;
	size_t i;

	p = resp_item(p, end, &it);
	if (p && it.type == '-')
		return REDIS_F_REFUSED;
	if (!p || it.type != '*' || it.num < 1)
		return 0;
	p = resp_item(p, end, &it);
	if (!p || it.type != '*' || it.num < 3)
		return 0;
	p = resp_skip(p, end);
	p = p ? resp_skip(p, end) : NULL;
	p = p ? resp_item(p, end, &it) : NULL;
	if (!p || it.type != '*')
		return 0;
	for (n = it.num; p && n > 0; n--) {
		p = resp_item(p, end, &it);
		for (i = 0; p && i < sizeof words / sizeof *words; i++)
			if (it.str && it.len == strlen(words[i].word) &&
			    !strncasecmp(it.str, words[i].word, it.len))
				flags |= words[i].flag;
	}
	return flags;
}

static void on_learned(struct redis_req *req, struct redis_conn *c, size_t len)
{
	struct learn *l = (struct learn *)req;
	struct redis_known *at = redis_known(&c->rc->classes, l->name);
	const char *p = redis_conn_reply(c);
	unsigned flags = read_flags(p, p + len);

	/* 0 would mean "not learned": an unlisted command is refused nothing
	 * but counts as a write */
	if (at)
		at->flags = flags ? flags : REDIS_F_ABSENT;
	mem_free(l);
	c->rc->news->learned(c->rc);
}

static void on_lost(struct redis_req *req, struct redis_conn *c,
		    const struct err *e, int maybe)
{
	struct learn *l = (struct learn *)req;
	struct redis_known *at = redis_known(&c->rc->classes, l->name);

	(void)e;
	(void)maybe;
	if (at)
		at->flags &= ~(unsigned)REDIS_F_ASKED;
	mem_free(l);
}

int redis_learn(struct redis_conn *c, const char *name)
{
	struct redis_known *at = add_known(&c->rc->classes, name);
	struct learn *l = mem_zalloc(sizeof *l);
	struct buf b;
	int r = -1;

	buf_init(&b);
	if (!at || !l)
		goto out;
	resp_add_array(&b, 3);
	resp_add_str(&b, "COMMAND");
	resp_add_str(&b, "INFO");
	resp_add_str(&b, name);
	l->req.want = 1;
	l->req.done = on_learned;
	l->req.lost = on_lost;
	memcpy(l->name, name, strlen(name) + 1);
	if (buf_ok(&b))
		r = redis_conn_send(c, &l->req, b.data, b.len, b.len);
	if (r == 0)
		at->flags |= REDIS_F_ASKED;
out:
	buf_release(&b);
	if (r < 0)
		mem_free(l);
	return r;
}

/* --- judging --------------------------------------------------------------- */
struct words {
	const char *p, *end;	/* behind the command's name */
	long long n;		/* words there */
};

static int is_word(const struct resp_item *it, const char *word)
{
	return it->type == '$' && it->len == strlen(word) &&
	       !strncasecmp(it->str, word, it->len);
}

/* The i-th word behind the name (from 0; negative: from the end). */
static int get_word(const struct words *w, long long i, struct resp_item *it)
{
	const char *p = w->p;

	if (i < 0)
		i += w->n;
	if (i < 0 || i >= w->n)
		return 0;
	for (; p && i >= 0; i--)
		p = resp_item(p, w->end, it);
	return p != NULL && it->type == '$';
}

static int has_word(const struct words *w, const char *word, long long *where)
{
	struct resp_item it;
	const char *p = w->p;
	long long i;

	for (i = 0; p && i < w->n; i++) {
		p = resp_item(p, w->end, &it);
		if (p && is_word(&it, word)) {
			*where = i;
			return 1;
		}
	}
	return 0;
}

/* For how many seconds it may block; -1 without end. */
static double block_time(const char *name, const struct words *w)
{
	static const struct { const char *name; int at; double unit; } at[] = {
		{ "BLMPOP", 0, 1 }, { "BZMPOP", 0, 1 },
		{ "WAIT", 1, 1000 }, { "WAITAOF", 2, 1000 },
	};
	long long where = -1;
	double unit = 1, v;
	struct resp_item it;
	char num[32];
	size_t i;

	for (i = 0; i < sizeof at / sizeof *at; i++) {
		if (strcmp(at[i].name, name) == 0) {
			where = at[i].at;
			unit = at[i].unit;
		}
	}
	if (name[0] == 'X' && has_word(w, "BLOCK", &where)) {
		where++;
		unit = 1000;
	}
	if (!get_word(w, where, &it) || it.len >= sizeof num)
		return 0;
	memcpy(num, it.str, it.len);
	num[it.len] = '\0';
	v = strtod(num, NULL);
	return v > 0 ? v / unit : -1;
}

/* From the flags: the server's if it has said, the table's otherwise. */
static enum effect_class flags_class(const char *name, unsigned table_flags,
				     const struct redis_known *k)
{
	unsigned flags = k ? k->flags : 0;

	if (flags & REDIS_F_WRITE)
		return EFFECT_WRITE;
	if (flags & REDIS_F_READONLY)
		return EFFECT_READ;
	if ((flags & REDIS_F_REFUSED) && (table_flags & REDIS_T_KNOWN))
		return EFFECT_READ;
	/* not listed: a write, but for subcommands before 7.0 */
	if (k && (flags & REDIS_F_ABSENT) && !strchr(name, '|'))
		return EFFECT_WRITE;
	return table_flags & REDIS_T_READ ? EFFECT_READ : EFFECT_WRITE;
}

int redis_judge(struct redis_client *rc, const char *p, const char *end,
		char name[REDIS_NAME], struct redis_verdict *v)
{
	struct resp_item head, cmd, sub = { 0 };
	const struct redis_known *k;
	const struct redis_row *row;
	struct words w;
	long long where;
	unsigned flags;

	memset(v, 0, sizeof *v);
	v->cls = EFFECT_WRITE;
	p = resp_item(p, end, &head);
	p = p ? resp_item(p, end, &cmd) : NULL;
	if (!p)
		return 1;
	w = (struct words){ p, end, head.num - 1 };
	get_word(&w, 0, &sub);
	if (redis_command_name(name, cmd.str, cmd.len, sub.str, sub.len) < 0)
		return 1;
	row = redis_row(name);
	if (!row && strncmp(name, "DEBUG|", 6) == 0)
		row = redis_row("DEBUG");
	flags = row ? row->flags : 0;
	v->advice = row ? row->advice : NULL;
	if (flags & REDIS_T_LOSES)
		v->cls = EFFECT_DESTRUCTIVE;
	if (flags & (REDIS_T_NOT | REDIS_T_LOSES))
		return 1;
	k = redis_known(&rc->classes, name);
	if (!(flags & REDIS_T_READ)) {
		if (!k || !(k->flags & ~(unsigned)REDIS_F_ASKED))
			return 0;
		v->cls = flags_class(name, flags, k);
	} else {
		v->cls = EFFECT_READ;
	}
	if (strcmp(name, "ACL|LOG") == 0 && has_word(&w, "RESET", &where))
		v->cls = EFFECT_WRITE;
	v->blocking = (flags & REDIS_T_BLOCKS) ||
		      (k && (k->flags & REDIS_F_BLOCKING));
	if (v->blocking && strncmp(name, "XREAD", 5) == 0)
		v->blocking = has_word(&w, "BLOCK", &where);
	if (v->blocking)
		v->block = block_time(name, &w);
	return 1;
}
