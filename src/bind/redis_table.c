/*
 * redis_table: what the flags of COMMAND don't say: reads that are neither
 * readonly nor write, what loses data, what would break a shared connection.
 * A table and its search; decides nothing.
 */
#include "bind/redis.h"

#include <stdlib.h>
#include <string.h>

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
#define T_READ REDIS_T_READ
#define T_KNOWN REDIS_T_KNOWN
#define T_LOSES REDIS_T_LOSES
#define T_BLOCKS REDIS_T_BLOCKS
#define T_NOT REDIS_T_NOT

#define ADVICE_CLOSE "use cache:close()"
#define ADVICE_DB "the database stands in the target's URL: redis://host/N"
#define ADVICE_LOGIN "user and password stand in the targets file"
#define ADVICE_MONITOR "it slows the server down and shows every value: " \
	"use INFO, SLOWLOG GET or CLIENT LIST"
#define ADVICE_REPLICA "it turns the connection into a replica's"
#define ADVICE_STATE "it changes a connection that all tasks share"
#define ADVICE_SUB "use cache:subscribe{channels = {...}}"
#define ADVICE_TX "use cache:multi(function(tx) ... end)"

/* Sorted: searched by halves. */
static const struct redis_row table[] = {
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
	return strcmp(key, ((const struct redis_row *)row)->name);
}

const struct redis_row *redis_row(const char *name)
{
	return bsearch(name, table, sizeof table / sizeof *table,
		       sizeof *table, row_cmp);
}

int redis_is_container(const char *name)
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
