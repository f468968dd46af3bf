/*
 * redis_greet: what is said first on a connection, in one pipeline: user and
 * password, database, our name; and who the server is (INFO server, ROLE). The
 * last two are asked again whenever the identity has to be fresh.
 */
#include "bind/redis.h"

#include <stdio.h>
#include <string.h>

#include "core/loop.h"
#include "core/mem.h"

struct greeting {
	char run_id[64], role[24], mode[24];
	struct err err;		/* kind NONE: fine */
};

/* The value of `field:` in an INFO text. */
static void info_field(const char *text, size_t len, const char *field,
		       char *out, size_t size)
{
	size_t k = strlen(field), n;
	const char *p = text, *end = text + len, *nl;

	out[0] = '\0';
	for (; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (!nl)
			nl = end;
		if ((size_t)(nl - p) <= k || memcmp(p, field, k) ||
		    p[k] != ':')
			continue;
		p += k + 1;
		n = (size_t)(nl - p);
		while (n && (p[n - 1] == '\r' || p[n - 1] == ' '))
			n--;
		snprintf(out, size, "%.*s", (int)n, p);
		return;
	}
}

/* A refusal while greeting, as an error of the connection. */
static void refused(struct redis_conn *c, struct err *e, const char *what,
		    const struct resp_item *it)
{
	struct err said;

	resp_error(&said, it->str, it->len);
	err_set(e, said.kind, said.code, "%s '%s': %s", what, c->peer,
		said.message);
	snprintf(e->hint, sizeof e->hint, "%s", said.hint);
	e->phase = PHASE_AUTH;
}

static void read_info(struct redis_conn *c, struct greeting *g,
		      const struct resp_item *it)
{
	if (it->type == '$') {
		info_field(it->str, it->len, "run_id", g->run_id,
			   sizeof g->run_id);
		info_field(it->str, it->len, "redis_mode", g->mode,
			   sizeof g->mode);
	} else if (it->type == '-') {
		/* an ACL may forbid INFO: such a server stays unidentified */
		if (it->len < 6 || memcmp(it->str, "NOPERM", 6) != 0)
			refused(c, &g->err, "cannot read the identity of",
				it);
	} else {
		err_set(&g->err, ERR_PROTOCOL, "RESP", "'%s' answers INFO "
			"with no text: is it a Redis server?", c->peer);
	}
}

static void read_role(struct greeting *g, const char *p, const char *end)
{
	struct resp_item it;

	p = resp_item(p, end, &it);
	if (!p || it.type != '*' || it.num < 1 || !resp_item(p, end, &it) ||
	    it.type != '$')
		return;
	snprintf(g->role, sizeof g->role, "%.*s", (int)it.len, it.str);
	if (strcmp(g->role, "slave") == 0)
		snprintf(g->role, sizeof g->role, "replica");
}

/* One '+OK' or its refusal. */
static const char *read_ok(struct redis_conn *c, struct greeting *g,
			   const char *p, const char *end, const char *what,
			   enum err_kind kind)
{
	struct resp_item it;

	p = resp_item(p, end, &it);
	if (p && it.type == '-' && g->err.kind == ERR_NONE) {
		refused(c, &g->err, what, &it);
		if (kind != ERR_NONE)
			g->err.kind = kind;
	}
	return p;
}

static void read_greeting(struct redis_conn *c, struct greeting *g,
			  const char *p, const char *end, int handshake)
{
	struct resp_item it;

	memset(g, 0, sizeof *g);
	if (c->greet_auth)
		p = read_ok(c, g, p, end, "cannot log in to", ERR_AUTH);
	if (p && c->greet_db)
		p = read_ok(c, g, p, end, "cannot select the database of",
			    ERR_NONE);
	if (p && handshake)
		p = resp_skip(p, end);	/* our name: an old server, an ACL */
	if (p && g->err.kind == ERR_NONE) {
		p = resp_item(p, end, &it);
		if (p)
			read_info(c, g, &it);
		if (p)
			read_role(g, p, end);
	}
}

/* Tells the target what was read. */
static void seen(struct redis_conn *c, const struct greeting *g)
{
	struct redis_client *rc = c->rc;
	char identity[192] = "";

	if (g->run_id[0])
		snprintf(identity, sizeof identity, "run_id=%s db=%d",
			 g->run_id, rc->o.db);
	snprintf(rc->target->address, sizeof rc->target->address,
		 "%.191s", c->peer);
	target_seen(rc->target, identity, g->role);
	rc->ident_at = c->asked_at;
	if (strcmp(rc->classes.run_id, g->run_id) != 0) {
		redis_forget(&rc->classes);
		snprintf(rc->classes.run_id, sizeof rc->classes.run_id, "%s",
			 g->run_id);
	}
}

static void on_greeted(struct redis_req *req, struct redis_conn *c, size_t len)
{
	const char *p = redis_conn_reply(c);
	int handshake = c->state == REDIS_GREETING;
	struct greeting g;

	(void)req;
	c->asking = 0;
	read_greeting(c, &g, p, p + len, handshake);
	if (g.err.kind != ERR_NONE) {
		redis_conn_down(c, &g.err);
		return;
	}
	/* Sentinel's word is checked: between its answer and ours the master
	 * may have become a replica */
	if (handshake && c->rc->o.n_sentinels && strcmp(g.role, "master")) {
		if (redis_find_again(c))
			return;
		err_set(&g.err, ERR_CONNECT, "ROLE", "'%s', named by Sentinel "
			"as the master '%s', is a %s", c->peer,
			c->rc->o.master_name, g.role[0] ? g.role :
			"server of unknown role");
		redis_conn_down(c, &g.err);
		return;
	}
	seen(c, &g);
	if (handshake)
		redis_conn_ready(c);
	else
		c->rc->news->learned(c->rc);
}

static void add_words(struct buf *b, int n, const char *a, const char *sub)
{
	resp_add_array(b, n);
	resp_add_str(b, a);
	if (sub)
		resp_add_str(b, sub);
}

static void add_login(struct redis_conn *c, struct buf *b)
{
	struct redis_options *o = &c->rc->o;

	if (c->greet_auth) {
		add_words(b, o->user ? 3 : 2, "AUTH", o->user);
		resp_add_bulk(b, o->pass ? o->pass : "", o->pass_len);
	}
	if (c->greet_db) {
		add_words(b, 2, "SELECT", NULL);
		resp_add_int(b, o->db);
	}
	add_words(b, 3, "CLIENT", "SETNAME");
	resp_add_str(b, "opsh");
}

int redis_greet(struct redis_conn *c, int handshake)
{
	struct redis_options *o = &c->rc->o;
	struct buf b;
	int r = -1;

	buf_init(&b);
	c->greet_auth = handshake && (o->pass || o->user);
	c->greet_db = handshake && o->db != 0;
	if (handshake)
		add_login(c, &b);
	add_words(&b, 2, "INFO", "server");
	add_words(&b, 1, "ROLE", NULL);
	memset(&c->greet, 0, sizeof c->greet);
	c->greet.want = 2 + c->greet_auth + c->greet_db + (handshake != 0);
	c->greet.done = on_greeted;
	c->asked_at = loop_now();
	if (buf_ok(&b))
		r = redis_conn_send(c, &c->greet, b.data, b.len, b.len);
	if (r == 0)
		c->asking = 1;
	if (b.cap)
		mem_wipe(b.data, b.len);	/* it may hold the password */
	buf_release(&b);
	return r;
}
