/*
 * redis_class: what a command does. The connected server's own COMMAND flags
 * decide; the table below holds what they don't say: reads that are neither
 * readonly nor write, what loses data, what would break a shared connection.
 */
#include "bind/redis.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

/*
 * T_READ	changes nothing, though the server flags it neither way.
 * T_KNOWN	a read in every version: counts only where an ACL forbids us
 *		to ask the server (COMMAND).
 * T_LOSES	destructive. The line is drawn so: whole keys (DEL, UNLINK,
 *		GETDEL, FLUSH*, MIGRATE; RENAME silently replaces its
 *		destination), elements picked by position or score instead of
 *		by name (LTRIM, XTRIM, ZREMRANGEBY*), stored code and users
 *		(SCRIPT FLUSH, FUNCTION .., ACL DELUSER and LOAD, MODULE
 *		UNLOAD), groups with their positions (XGROUP DESTROY), and all
 *		that stops serving or changes who serves (SHUTDOWN, SAVE, which
 *		blocks for its duration, CLIENT PAUSE, DEBUG, REPLICAOF,
 *		FAILOVER, SWAPDB, CLUSTER .., SENTINEL ..). Not: removals that
 *		name or return their element (HDEL, SREM, LPOP, XDEL), which
 *		queues and sets do all day; overwriting (SET); statistics
 *		(CONFIG RESETSTAT, SLOWLOG RESET); CLIENT KILL, whose clients
 *		come back. Scripts are writes: nobody can tell.
 * T_BLOCKS	may hold its connection: gets a dedicated one.
 * T_NOT	changes the state of the connection, which all tasks share.
 */
#define T_READ 1
#define T_KNOWN 2
#define T_LOSES 4
#define T_BLOCKS 8
#define T_NOT 16

#define ADVICE_CLOSE "use cache:close()"
#define ADVICE_DB "the database stands in the target's URL: redis://host/N"
#define ADVICE_LOGIN "user and password stand in the targets file"
#define ADVICE_MONITOR "it slows the server down and shows every value: " \
	"use INFO, SLOWLOG GET or CLIENT LIST"
#define ADVICE_REPLICA "it turns the connection into a replica's"
#define ADVICE_STATE "it changes a connection that all tasks share"
#define ADVICE_SUB "use cache:subscribe{channels = {...}}"
#define ADVICE_TX "use cache:multi(function(tx) ... end)"

struct row {
	const char *name;
	unsigned flags;
	const char *advice;
};

/* Sorted: searched by halves. */
static const struct row table[] = {
	{ "ACL|CAT", T_READ, NULL }, { "ACL|DELUSER", T_LOSES, NULL },
	{ "ACL|DRYRUN", T_READ, NULL }, { "ACL|GENPASS", T_READ, NULL },
	{ "ACL|GETUSER", T_READ, NULL }, { "ACL|HELP", T_READ, NULL },
	{ "ACL|LIST", T_READ, NULL }, { "ACL|LOAD", T_LOSES, NULL },
	{ "ACL|LOG", T_READ, NULL }, { "ACL|USERS", T_READ, NULL },
	{ "ACL|WHOAMI", T_READ, NULL }, { "ASKING", T_NOT, ADVICE_STATE },
	{ "AUTH", T_NOT, ADVICE_LOGIN }, { "BITCOUNT", T_KNOWN, NULL },
	{ "BITFIELD_RO", T_KNOWN, NULL }, { "BITPOS", T_KNOWN, NULL },
	{ "BLMOVE", T_BLOCKS, NULL }, { "BLMPOP", T_BLOCKS, NULL },
	{ "BLPOP", T_BLOCKS, NULL }, { "BRPOP", T_BLOCKS, NULL },
	{ "BRPOPLPUSH", T_BLOCKS, NULL }, { "BZMPOP", T_BLOCKS, NULL },
	{ "BZPOPMAX", T_BLOCKS, NULL }, { "BZPOPMIN", T_BLOCKS, NULL },
	{ "CLIENT|CACHING", T_NOT, ADVICE_STATE },
	{ "CLIENT|GETNAME", T_READ, NULL }, { "CLIENT|GETREDIR", T_READ, NULL },
	{ "CLIENT|HELP", T_READ, NULL }, { "CLIENT|ID", T_READ, NULL },
	{ "CLIENT|INFO", T_READ, NULL }, { "CLIENT|LIST", T_READ, NULL },
	{ "CLIENT|NO-EVICT", T_NOT, ADVICE_STATE },
	{ "CLIENT|NO-TOUCH", T_NOT, ADVICE_STATE },
	{ "CLIENT|PAUSE", T_LOSES, NULL },
	{ "CLIENT|REPLY", T_NOT, ADVICE_STATE },
	{ "CLIENT|SETINFO", T_NOT, ADVICE_STATE },
	{ "CLIENT|SETNAME", T_NOT, ADVICE_STATE },
	{ "CLIENT|TRACKING", T_NOT, ADVICE_STATE },
	{ "CLIENT|TRACKINGINFO", T_READ, NULL },
	{ "CLUSTER|COUNT-FAILURE-REPORTS", T_READ, NULL },
	{ "CLUSTER|COUNTKEYSINSLOT", T_READ, NULL },
	{ "CLUSTER|DELSLOTS", T_LOSES, NULL },
	{ "CLUSTER|DELSLOTSRANGE", T_LOSES, NULL },
	{ "CLUSTER|FAILOVER", T_LOSES, NULL },
	{ "CLUSTER|FLUSHSLOTS", T_LOSES, NULL },
	{ "CLUSTER|FORGET", T_LOSES, NULL },
	{ "CLUSTER|GETKEYSINSLOT", T_READ, NULL },
	{ "CLUSTER|HELP", T_READ, NULL }, { "CLUSTER|INFO", T_READ, NULL },
	{ "CLUSTER|KEYSLOT", T_READ, NULL }, { "CLUSTER|LINKS", T_READ, NULL },
	{ "CLUSTER|MYID", T_READ, NULL }, { "CLUSTER|MYSHARDID", T_READ, NULL },
	{ "CLUSTER|NODES", T_READ, NULL }, { "CLUSTER|REPLICAS", T_READ, NULL },
	{ "CLUSTER|REPLICATE", T_LOSES, NULL },
	{ "CLUSTER|RESET", T_LOSES, NULL },
	{ "CLUSTER|SETSLOT", T_LOSES, NULL },
	{ "CLUSTER|SHARDS", T_READ, NULL }, { "CLUSTER|SLAVES", T_READ, NULL },
	{ "CLUSTER|SLOT-STATS", T_READ, NULL },
	{ "CLUSTER|SLOTS", T_READ, NULL }, { "COMMAND", T_READ, NULL },
	{ "COMMAND|COUNT", T_READ, NULL }, { "COMMAND|DOCS", T_READ, NULL },
	{ "COMMAND|GETKEYS", T_READ, NULL },
	{ "COMMAND|GETKEYSANDFLAGS", T_READ, NULL },
	{ "COMMAND|HELP", T_READ, NULL }, { "COMMAND|INFO", T_READ, NULL },
	{ "COMMAND|LIST", T_READ, NULL }, { "CONFIG|GET", T_READ, NULL },
	{ "CONFIG|HELP", T_READ, NULL }, { "DBSIZE", T_KNOWN, NULL },
	{ "DEBUG", T_LOSES, NULL }, { "DEBUG|HELP", T_READ, NULL },
	{ "DEBUG|OBJECT", T_READ, NULL }, { "DEL", T_LOSES, NULL },
	{ "DISCARD", T_NOT, ADVICE_TX }, { "DUMP", T_KNOWN, NULL },
	{ "ECHO", T_READ, NULL }, { "EVALSHA_RO", T_KNOWN, NULL },
	{ "EVAL_RO", T_KNOWN, NULL }, { "EXEC", T_NOT, ADVICE_TX },
	{ "EXISTS", T_KNOWN, NULL }, { "EXPIRETIME", T_KNOWN, NULL },
	{ "FAILOVER", T_LOSES, NULL }, { "FCALL_RO", T_KNOWN, NULL },
	{ "FLUSHALL", T_LOSES, NULL }, { "FLUSHDB", T_LOSES, NULL },
	{ "FUNCTION|DELETE", T_LOSES, NULL }, { "FUNCTION|DUMP", T_READ, NULL },
	{ "FUNCTION|FLUSH", T_LOSES, NULL }, { "FUNCTION|HELP", T_READ, NULL },
	{ "FUNCTION|LIST", T_READ, NULL },
	{ "FUNCTION|RESTORE", T_LOSES, NULL },
	{ "FUNCTION|STATS", T_READ, NULL }, { "GEODIST", T_KNOWN, NULL },
	{ "GEOHASH", T_KNOWN, NULL }, { "GEOPOS", T_KNOWN, NULL },
	{ "GEORADIUSBYMEMBER_RO", T_KNOWN, NULL },
	{ "GEORADIUS_RO", T_KNOWN, NULL }, { "GEOSEARCH", T_KNOWN, NULL },
	{ "GET", T_KNOWN, NULL }, { "GETBIT", T_KNOWN, NULL },
	{ "GETDEL", T_LOSES, NULL }, { "GETRANGE", T_KNOWN, NULL },
	{ "HELLO", T_NOT, ADVICE_LOGIN }, { "HEXISTS", T_KNOWN, NULL },
	{ "HGET", T_KNOWN, NULL }, { "HGETALL", T_KNOWN, NULL },
	{ "HKEYS", T_KNOWN, NULL }, { "HLEN", T_KNOWN, NULL },
	{ "HMGET", T_KNOWN, NULL }, { "HRANDFIELD", T_KNOWN, NULL },
	{ "HSCAN", T_KNOWN, NULL }, { "HSTRLEN", T_KNOWN, NULL },
	{ "HVALS", T_KNOWN, NULL }, { "INFO", T_READ, NULL },
	{ "KEYS", T_KNOWN, NULL }, { "LASTSAVE", T_READ, NULL },
	{ "LATENCY|DOCTOR", T_READ, NULL }, { "LATENCY|GRAPH", T_READ, NULL },
	{ "LATENCY|HELP", T_READ, NULL }, { "LATENCY|HISTOGRAM", T_READ, NULL },
	{ "LATENCY|HISTORY", T_READ, NULL }, { "LATENCY|LATEST", T_READ, NULL },
	{ "LCS", T_KNOWN, NULL }, { "LINDEX", T_KNOWN, NULL },
	{ "LLEN", T_KNOWN, NULL }, { "LOLWUT", T_READ, NULL },
	{ "LPOS", T_KNOWN, NULL }, { "LRANGE", T_KNOWN, NULL },
	{ "LTRIM", T_LOSES, NULL }, { "MEMORY|DOCTOR", T_READ, NULL },
	{ "MEMORY|HELP", T_READ, NULL },
	{ "MEMORY|MALLOC-STATS", T_READ, NULL },
	{ "MEMORY|STATS", T_READ, NULL }, { "MEMORY|USAGE", T_READ, NULL },
	{ "MGET", T_KNOWN, NULL }, { "MIGRATE", T_LOSES, NULL },
	{ "MODULE|HELP", T_READ, NULL }, { "MODULE|LIST", T_READ, NULL },
	{ "MODULE|UNLOAD", T_LOSES, NULL },
	{ "MONITOR", T_NOT, ADVICE_MONITOR }, { "MULTI", T_NOT, ADVICE_TX },
	{ "OBJECT|ENCODING", T_READ, NULL }, { "OBJECT|FREQ", T_READ, NULL },
	{ "OBJECT|HELP", T_READ, NULL }, { "OBJECT|IDLETIME", T_READ, NULL },
	{ "OBJECT|REFCOUNT", T_READ, NULL }, { "PEXPIRETIME", T_KNOWN, NULL },
	{ "PFCOUNT", T_KNOWN, NULL }, { "PING", T_READ, NULL },
	{ "PSUBSCRIBE", T_NOT, ADVICE_SUB }, { "PSYNC", T_NOT, ADVICE_REPLICA },
	{ "PTTL", T_KNOWN, NULL }, { "PUBSUB|CHANNELS", T_READ, NULL },
	{ "PUBSUB|HELP", T_READ, NULL }, { "PUBSUB|NUMPAT", T_READ, NULL },
	{ "PUBSUB|NUMSUB", T_READ, NULL },
	{ "PUBSUB|SHARDCHANNELS", T_READ, NULL },
	{ "PUBSUB|SHARDNUMSUB", T_READ, NULL },
	{ "PUNSUBSCRIBE", T_NOT, ADVICE_SUB }, { "QUIT", T_NOT, ADVICE_CLOSE },
	{ "RANDOMKEY", T_KNOWN, NULL }, { "READONLY", T_NOT, ADVICE_STATE },
	{ "READWRITE", T_NOT, ADVICE_STATE }, { "RENAME", T_LOSES, NULL },
	{ "REPLCONF", T_NOT, ADVICE_REPLICA }, { "REPLICAOF", T_LOSES, NULL },
	{ "RESET", T_NOT, ADVICE_STATE }, { "ROLE", T_READ, NULL },
	{ "SAVE", T_LOSES, NULL }, { "SCAN", T_KNOWN, NULL },
	{ "SCARD", T_KNOWN, NULL }, { "SCRIPT|DEBUG", T_NOT, ADVICE_STATE },
	{ "SCRIPT|EXISTS", T_READ, NULL }, { "SCRIPT|FLUSH", T_LOSES, NULL },
	{ "SCRIPT|HELP", T_READ, NULL }, { "SDIFF", T_KNOWN, NULL },
	{ "SELECT", T_NOT, ADVICE_DB }, { "SENTINEL|CKQUORUM", T_READ, NULL },
	{ "SENTINEL|FAILOVER", T_LOSES, NULL },
	{ "SENTINEL|GET-MASTER-ADDR-BY-NAME", T_READ, NULL },
	{ "SENTINEL|HELP", T_READ, NULL },
	{ "SENTINEL|INFO-CACHE", T_READ, NULL },
	{ "SENTINEL|MASTER", T_READ, NULL },
	{ "SENTINEL|MASTERS", T_READ, NULL }, { "SENTINEL|MYID", T_READ, NULL },
	{ "SENTINEL|PENDING-SCRIPTS", T_READ, NULL },
	{ "SENTINEL|REMOVE", T_LOSES, NULL },
	{ "SENTINEL|REPLICAS", T_READ, NULL },
	{ "SENTINEL|RESET", T_LOSES, NULL },
	{ "SENTINEL|SENTINELS", T_READ, NULL },
	{ "SENTINEL|SLAVES", T_READ, NULL }, { "SHUTDOWN", T_LOSES, NULL },
	{ "SINTER", T_KNOWN, NULL }, { "SINTERCARD", T_KNOWN, NULL },
	{ "SISMEMBER", T_KNOWN, NULL }, { "SLAVEOF", T_LOSES, NULL },
	{ "SLOWLOG|GET", T_READ, NULL }, { "SLOWLOG|HELP", T_READ, NULL },
	{ "SLOWLOG|LEN", T_READ, NULL }, { "SMEMBERS", T_KNOWN, NULL },
	{ "SMISMEMBER", T_KNOWN, NULL }, { "SORT_RO", T_KNOWN, NULL },
	{ "SRANDMEMBER", T_KNOWN, NULL }, { "SSCAN", T_KNOWN, NULL },
	{ "SSUBSCRIBE", T_NOT, ADVICE_SUB }, { "STRLEN", T_KNOWN, NULL },
	{ "SUBSCRIBE", T_NOT, ADVICE_SUB }, { "SUBSTR", T_KNOWN, NULL },
	{ "SUNION", T_KNOWN, NULL }, { "SUNSUBSCRIBE", T_NOT, ADVICE_SUB },
	{ "SWAPDB", T_LOSES, NULL }, { "SYNC", T_NOT, ADVICE_REPLICA },
	{ "TIME", T_READ, NULL }, { "TOUCH", T_KNOWN, NULL },
	{ "TTL", T_KNOWN, NULL }, { "TYPE", T_KNOWN, NULL },
	{ "UNLINK", T_LOSES, NULL }, { "UNSUBSCRIBE", T_NOT, ADVICE_SUB },
	{ "UNWATCH", T_NOT, ADVICE_TX }, { "WAIT", T_READ | T_BLOCKS, NULL },
	{ "WAITAOF", T_READ | T_BLOCKS, NULL }, { "WATCH", T_NOT, ADVICE_TX },
	{ "XGROUP|DESTROY", T_LOSES, NULL }, { "XGROUP|HELP", T_READ, NULL },
	{ "XINFO|CONSUMERS", T_READ, NULL }, { "XINFO|GROUPS", T_READ, NULL },
	{ "XINFO|HELP", T_READ, NULL }, { "XINFO|STREAM", T_READ, NULL },
	{ "XLEN", T_KNOWN, NULL }, { "XPENDING", T_KNOWN, NULL },
	{ "XRANGE", T_KNOWN, NULL }, { "XREAD", T_BLOCKS | T_KNOWN, NULL },
	{ "XREADGROUP", T_BLOCKS, NULL }, { "XREVRANGE", T_KNOWN, NULL },
	{ "XTRIM", T_LOSES, NULL }, { "ZCARD", T_KNOWN, NULL },
	{ "ZCOUNT", T_KNOWN, NULL }, { "ZDIFF", T_KNOWN, NULL },
	{ "ZINTER", T_KNOWN, NULL }, { "ZINTERCARD", T_KNOWN, NULL },
	{ "ZLEXCOUNT", T_KNOWN, NULL }, { "ZMSCORE", T_KNOWN, NULL },
	{ "ZRANDMEMBER", T_KNOWN, NULL }, { "ZRANGE", T_KNOWN, NULL },
	{ "ZRANGEBYLEX", T_KNOWN, NULL }, { "ZRANGEBYSCORE", T_KNOWN, NULL },
	{ "ZRANK", T_KNOWN, NULL }, { "ZREMRANGEBYLEX", T_LOSES, NULL },
	{ "ZREMRANGEBYRANK", T_LOSES, NULL },
	{ "ZREMRANGEBYSCORE", T_LOSES, NULL }, { "ZREVRANGE", T_KNOWN, NULL },
	{ "ZREVRANGEBYLEX", T_KNOWN, NULL },
	{ "ZREVRANGEBYSCORE", T_KNOWN, NULL }, { "ZREVRANK", T_KNOWN, NULL },
	{ "ZSCAN", T_KNOWN, NULL }, { "ZSCORE", T_KNOWN, NULL },
	{ "ZUNION", T_KNOWN, NULL },
};

static int row_cmp(const void *key, const void *row)
{
	return strcmp(key, ((const struct row *)row)->name);
}

static const struct row *find_row(const char *name)
{
	return bsearch(name, table, sizeof table / sizeof *table,
		       sizeof *table, row_cmp);
}

/* Commands whose second word is part of the name. */
static int is_container(const char *name)
{
	static const char *const names[] = {
		"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG",
		"FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT", "PUBSUB",
		"SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO"
	};
	size_t i;

	for (i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return 1;
	return 0;
}

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
	if (!sub || !is_container(out))
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
	redis_pump(c->rc);
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
	if ((flags & REDIS_F_REFUSED) && (table_flags & T_KNOWN))
		return EFFECT_READ;
	/* not listed: a write, but for subcommands before 7.0 */
	if (k && (flags & REDIS_F_ABSENT) && !strchr(name, '|'))
		return EFFECT_WRITE;
	return table_flags & T_READ ? EFFECT_READ : EFFECT_WRITE;
}

int redis_judge(struct redis_client *rc, const char *p, const char *end,
		char name[REDIS_NAME], struct redis_verdict *v)
{
	struct resp_item head, cmd, sub = { 0 };
	const struct redis_known *k;
	const struct row *row;
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
	row = find_row(name);
	if (!row && strncmp(name, "DEBUG|", 6) == 0)
		row = find_row("DEBUG");
	flags = row ? row->flags : 0;
	v->advice = row ? row->advice : NULL;
	if (flags & T_LOSES)
		v->cls = EFFECT_DESTRUCTIVE;
	if (flags & (T_NOT | T_LOSES))
		return 1;
	k = redis_known(&rc->classes, name);
	if (!(flags & T_READ)) {
		if (!k || !(k->flags & ~(unsigned)REDIS_F_ASKED))
			return 0;
		v->cls = flags_class(name, flags, k);
	} else {
		v->cls = EFFECT_READ;
	}
	if (strcmp(name, "ACL|LOG") == 0 && has_word(&w, "RESET", &where))
		v->cls = EFFECT_WRITE;
	v->blocking = (flags & T_BLOCKS) ||
		      (k && (k->flags & REDIS_F_BLOCKING));
	if (v->blocking && strncmp(name, "XREAD", 5) == 0)
		v->blocking = has_word(&w, "BLOCK", &where);
	if (v->blocking)
		v->block = block_time(name, &w);
	return 1;
}
