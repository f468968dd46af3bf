/*
 * redact: an Aho-Corasick automaton over every encoding of every secret.
 * Owns the automaton (one a process); streams own what they hold back. Nodes
 * live in one array and are linked without memory, so that masking itself
 * allocates only what it writes. Out of memory drops text, never unmasks it.
 * Must not know Lua, nor who reads the masked text.
 */
#include "effect/redact.h"

#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "effect/encodings.h"

#define PATTERN_MIN 6	/* an encoding shorter than this would mask chance */

struct node {
	uint32_t child;		/* first child; 0 none */
	uint32_t sibling;	/* next child of the same parent */
	uint32_t fail;		/* longest proper suffix that is a node */
	uint32_t queue;		/* breadth-first order, while linking */
	uint32_t depth;
	uint32_t out;		/* longest pattern that ends here; 0 none */
	unsigned char byte;
	unsigned char terminal;
};

static struct {
	struct node *nodes;	/* owned; [0] is the root */
	uint32_t used, cap;
	uint32_t root[256];	/* children of the root */
	unsigned char pair[65536 / 8];	/* first two bytes of the patterns */
	int linked;		/* fail and out are up to date */
	unsigned age;		/* counts changes */
} ac;

/* --- the automaton ------------------------------------------------------ */

/* Old blocks are wiped, so realloc won't do. */
static int nodes_grow(void)
{
	uint32_t cap = ac.cap ? ac.cap * 2 : 1024;
	struct node *nodes;

	if (cap < ac.cap)
		return -1;
	nodes = mem_alloc(cap * sizeof *nodes);
	if (!nodes)
		return -1;
	if (ac.used) {
		memcpy(nodes, ac.nodes, ac.used * sizeof *nodes);
		mem_wipe(ac.nodes, ac.used * sizeof *nodes);
	} else {
		memset(nodes, 0, sizeof *nodes);
		ac.used = 1;
	}
	mem_free(ac.nodes);
	ac.nodes = nodes;
	ac.cap = cap;
	return 0;
}

static inline uint32_t find_child(uint32_t node, unsigned char c)
{
	uint32_t k;

	if (!node)
		return ac.root[c];
	for (k = ac.nodes[node].child; k; k = ac.nodes[k].sibling)
		if (ac.nodes[k].byte == c)
			return k;
	return 0;
}

static uint32_t add_child(uint32_t parent, unsigned char c)
{
	uint32_t k;

	if (ac.used == ac.cap && nodes_grow() < 0)
		return 0;
	k = ac.used++;
	ac.nodes[k] = (struct node){
		.sibling = ac.nodes[parent].child,
		.depth = ac.nodes[parent].depth + 1,
		.byte = c,
	};
	ac.nodes[parent].child = k;
	if (!parent)
		ac.root[c] = k;
	return k;
}

static int add_pattern(const struct buf *b)
{
	const unsigned char *p = (const unsigned char *)b->data;
	uint32_t node = 0, k;
	size_t i, pair;

	if (b->bad)
		return -1;
	if (b->len < PATTERN_MIN)
		return 0;
	if (!ac.nodes && nodes_grow() < 0)
		return -1;
	ac.linked = 0;
	ac.age++;
	for (i = 0; i < b->len; i++) {
		k = find_child(node, p[i]);
		if (!k)
			k = add_child(node, p[i]);
		if (!k)
			return -1;
		node = k;
	}
	ac.nodes[node].terminal = 1;
	pair = (size_t)p[0] << 8 | p[1];
	ac.pair[pair >> 3] |= (unsigned char)(1 << (pair & 7));
	return 0;
}

static inline uint32_t step(uint32_t node, unsigned char c)
{
	uint32_t k;

	while (!(k = find_child(node, c)) && node)
		node = ac.nodes[node].fail;
	return k;
}

/* Breadth first, as a node's fail is shallower than the node. */
static void link_nodes(void)
{
	uint32_t n, k, tail = 0;
	struct node *v = ac.nodes;

	for (n = 0; ; n = v[n].queue) {
		for (k = v[n].child; k; k = v[k].sibling) {
			v[k].fail = n ? step(v[n].fail, v[k].byte) : 0;
			v[k].out = v[k].terminal ? v[k].depth
						 : v[v[k].fail].out;
			v[k].queue = 0;
			v[tail].queue = k;
			tail = k;
		}
		if (n == tail)
			break;
	}
	ac.linked = 1;
}

/* --- secrets ------------------------------------------------------------ */

/* Words that stand in ordinary output: masking them would tell the secret
 * rather than hide it. Shorter ones are refused by their length. */
static const char *const common[] = {
	"00000000", "11111111", "12345678", "123456789", "1234567890",
	"87654321", "abcdefgh", "admin123", "administrator", "anonymous",
	"application", "bootstrap", "changeit", "changeme", "client_id",
	"cluster-admin", "container", "credentials", "database", "debugging",
	"default_user", "deployment", "developer", "development", "disabled",
	"docker-compose", "elasticsearch", "environment", "essential",
	"example.com", "firewall", "function", "hostname", "iloveyou",
	"instance", "internal", "interface", "kubernetes", "letmein1",
	"localhost", "localdomain", "monitoring", "namespace", "operation",
	"operator", "passphrase", "password", "password1", "password123",
	"pg_monitor", "postgres", "postgresql", "primary_key", "producer",
	"production", "qwertyuiop", "rabbitmq", "readonly", "required",
	"sentinel", "service-account", "sunshine", "superuser", "template0",
	"template1", "undefined", "username", "zookeeper",
};

static int is_common(const char *s, size_t len)
{
	size_t i;

	for (i = 1; i < len && s[i] == s[0]; i++)
		;
	if (i == len)			/* a ruler: "--------" */
		return 1;
	if (memmem(REDACT_MARK, strlen(REDACT_MARK), s, len))
		return 1;
	for (i = 0; i < sizeof common / sizeof common[0]; i++)
		if (strlen(common[i]) == len &&
		    !strncasecmp(common[i], s, len))
			return 1;
	return 0;
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int add_trimmed(const char *s, size_t len)
{
	while (len && is_blank(*s))
		s++, len--;
	while (len && is_blank(s[len - 1]))
		len--;
	if (len < REDACT_MIN || is_common(s, len))
		return 1;
	return encodings_each(s, len, add_pattern);
}

int redact_add(const char *value, size_t len)
{
	const char *at = value, *end = value + len, *nl;
	int rc = add_trimmed(value, len);

	/* A key file is often shown line by line, indented or joined. */
	while (!rc && at < end) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (!nl && at == value)
			break;
		if (!nl)
			nl = end;
		if ((size_t)(nl - at) >= REDACT_MIN && memcmp(at, "-----", 5) &&
		    add_trimmed(at, (size_t)(nl - at)) < 0)
			rc = -1;
		at = nl + 1;
	}
	return rc;
}

void redact_release(void)
{
	unsigned age = ac.age;

	if (ac.nodes)
		mem_wipe(ac.nodes, ac.cap * sizeof *ac.nodes);
	mem_free(ac.nodes);
	mem_wipe(&ac, sizeof ac);
	ac.age = age + 1;
}

int redact_any(void)
{
	return ac.used > 1;
}

/* --- streams ------------------------------------------------------------ */

/*
 * Positions count from the first held byte; a match may start before it (in
 * text that a mark already stands for), so they are signed.
 */
struct span {
	ptrdiff_t from, to;
};

struct scan {
	struct buf *out;
	struct buf *marks;	/* disjoint spans, in order */
	const char *text;
	ptrdiff_t done;		/* written up to here */
};

/* Spans end ever later, so only the last ones can touch the new one. */
static void scan_mark(struct scan *sc, struct span m)
{
	struct buf *b = sc->marks;
	struct span last;

	if (m.from < sc->done) {	/* goes on from a mark already written */
		sc->done = m.to;
		buf_clear(b);
		return;
	}
	while (b->len) {
		memcpy(&last, b->data + b->len - sizeof last, sizeof last);
		if (last.to <= m.from)
			break;
		if (last.from < m.from)
			m.from = last.from;
		b->len -= sizeof last;
	}
	buf_add(b, &m, sizeof m);
}

/* Writes what is decided: no later match starts before `edge`. */
static void scan_settle(struct scan *sc, ptrdiff_t edge)
{
	struct span m;
	size_t used = 0;

	while (used < sc->marks->len) {
		memcpy(&m, sc->marks->data + used, sizeof m);
		if (m.from > edge)
			break;
		buf_add(sc->out, sc->text + sc->done,
			(size_t)(m.from - sc->done));
		buf_adds(sc->out, REDACT_MARK);
		sc->done = m.to;
		used += sizeof m;
	}
	buf_consume(sc->marks, used);
	if (edge > sc->done) {
		buf_add(sc->out, sc->text + sc->done,
			(size_t)(edge - sc->done));
		sc->done = edge;
	}
}

/* At the root: the next place where the first two bytes of a pattern stand,
 * or the last byte, which may be the first of one. */
static size_t skip(const unsigned char *p, size_t i, size_t len)
{
	size_t pair;

	for (; i + 1 < len; i++) {
		pair = (size_t)p[i] << 8 | p[i + 1];
		if (ac.pair[pair >> 3] & 1 << (pair & 7))
			break;
	}
	return i;
}

/* Goes on at text[i] in state `node`; returns the state at the end. */
static uint32_t scan_run(struct scan *sc, uint32_t node, size_t i, size_t len)
{
	const unsigned char *p = (const unsigned char *)sc->text;
	struct span m;

	while (i < len) {
		if (!node)
			i = skip(p, i, len);
		node = step(node, p[i++]);
		if (ac.nodes[node].out) {
			m.to = (ptrdiff_t)i;
			m.from = m.to - (ptrdiff_t)ac.nodes[node].out;
			scan_mark(sc, m);
			/* Nothing goes on from a leaf: hold only what may. */
			while (node && !ac.nodes[node].child)
				node = ac.nodes[node].fail;
			scan_settle(sc, m.to - (ptrdiff_t)ac.nodes[node].depth);
		}
	}
	scan_settle(sc, (ptrdiff_t)len - (ptrdiff_t)ac.nodes[node].depth);
	return node;
}

static void held_drop(struct redact_stream *s, size_t n)
{
	size_t len = s->held.len;

	buf_consume(&s->held, n);
	mem_wipe(s->held.data + s->held.len, len - s->held.len);
}

static void shift_marks(struct buf *marks, ptrdiff_t by)
{
	struct span m;
	size_t i;

	for (i = 0; i < marks->len; i += sizeof m) {
		memcpy(&m, marks->data + i, sizeof m);
		m.from -= by;
		m.to -= by;
		memcpy(marks->data + i, &m, sizeof m);
	}
}

void redact_stream_init(struct redact_stream *s)
{
	s->node = 0;
	s->age = ac.age;
	buf_init(&s->held);
	buf_init(&s->marks);
}

/* The automaton changed: what is held is looked at anew. */
static void stream_renew(struct redact_stream *s, size_t *scanned)
{
	if (s->age == ac.age)
		return;
	s->age = ac.age;
	s->node = 0;
	buf_clear(&s->marks);
	*scanned = 0;
}

void redact_stream_feed(struct redact_stream *s, struct buf *out,
			const char *data, size_t len)
{
	struct scan sc = { out, &s->marks, data, 0 };
	size_t scanned = s->held.len, all = len, before = out->len;

	stream_renew(s, &scanned);
	if (!redact_any()) {
		buf_add(out, s->held.data, s->held.len);
		held_drop(s, s->held.len);
		buf_add(out, data, len);
		return;
	}
	if (!ac.linked)
		link_nodes();
	if (s->held.len) {
		buf_add(&s->held, data, len);
		sc.text = s->held.data;
		all = s->held.len;
	}
	if (!s->held.bad)
		s->node = scan_run(&sc, s->node, scanned, all);
	if (sc.text == data)
		buf_add(&s->held, data + sc.done, all - (size_t)sc.done);
	else
		held_drop(s, (size_t)sc.done);
	shift_marks(&s->marks, sc.done);
	if (s->held.bad || s->marks.bad) {
		mem_wipe(out->data + before, out->len - before);
		out->len = before;
		out->bad = 1;
		redact_stream_release(s);
		redact_stream_init(s);
	}
}

void redact_stream_flush(struct redact_stream *s, struct buf *out)
{
	struct scan sc = { out, &s->marks, NULL, 0 };

	if (s->age != ac.age)
		redact_stream_feed(s, out, "", 0);
	sc.text = s->held.data;
	scan_settle(&sc, (ptrdiff_t)s->held.len);
	held_drop(s, s->held.len);
	buf_clear(&s->marks);
	s->node = 0;
}

void redact_stream_release(struct redact_stream *s)
{
	if (s->held.cap)
		mem_wipe(s->held.data, s->held.cap);
	buf_release(&s->held);
	buf_release(&s->marks);
	s->node = 0;
}

void redact_to(struct buf *out, const char *data, size_t len)
{
	struct redact_stream s;

	if (!redact_any()) {
		buf_add(out, data, len);
		return;
	}
	redact_stream_init(&s);
	redact_stream_feed(&s, out, data, len);
	redact_stream_flush(&s, out);
	redact_stream_release(&s);
}

int redact_finds(const char *data, size_t len)
{
	struct buf masked = BUF_INIT;
	int found;

	if (!redact_any())
		return 0;
	redact_to(&masked, data, len);
	if (!buf_ok(&masked))
		found = -1;
	else
		found = masked.len != len || memcmp(masked.data, data, len);
	mem_wipe(masked.data, masked.cap);
	buf_release(&masked);
	return found;
}
