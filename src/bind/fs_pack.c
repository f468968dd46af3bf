/*
 * fs_pack: hash, gzip, gunzip: whole files, piece by piece in the pool, so that
 * their size costs neither memory nor the loop. The only file that includes
 * zlib.h. What is unpacked is limited: a small file may claim to be huge.
 */
#include "bind/fs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/lx.h"
#include "core/mem.h"
#include "effect/digest.h"

#define UNPACK_MAX (1LL << 30)	/* bytes that gunzip writes, unless told */
#define GZIP 16			/* of zlib's window bits: its header */

/* The next piece of the file: its size, 0 at the end, -1. */
static ssize_t next(struct fs_job *job, char *chunk)
{
	ssize_t n;

	if (fs_stopped(job))
		return -1;
	do
		n = read(job->in, chunk, FS_CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		fs_job_fail(job, errno, job->path);
	return n;
}

/* --- hash ---------------------------------------------------------------------------- */
static void run_hash(struct fs_job *job)
{
	struct digest *d = digest_new(job->flag);
	char *chunk = mem_alloc(FS_CHUNK);
	ssize_t n = 0;

	if (d && chunk) {
		while ((n = next(job, chunk)) > 0)
			digest_add(d, chunk, (size_t)n);
		digest_end(d, job->hex);
	} else {
		fs_job_fail(job, ENOMEM, job->path);
	}
	digest_free(d);
	mem_free(chunk);
}

static int push_hash(lua_State *L, struct fs_job *job)
{
	lua_pushstring(L, job->hex);
	return 1;
}

/* hash(path [, algorithm [, {timeout}]]) -> hex */
static int l_fs_hash(lua_State *L)
{
	static const char *const names[] = { "timeout", NULL };
	const char *path = fs_checkpath(L, 1);
	const char *name = lua_isnoneornil(L, 2) ? "sha256"
						 : lx_checkcstr(L, 2);
	struct fs_op *fop;
	struct stat st;
	struct err e;

	luaL_argcheck(L, digest_find(name) >= 0, 2,
		      "algorithm must be sha256, sha512, sha1 or md5");
	lua_settop(L, 3);
	lx_opt_begin(L, 3, names);
	fop = fs_new(L, "hash", run_hash, push_hash);
	fop->timeout = fs_timeout(L, 3, FS_TIMEOUT_LONG);
	fop->job->flag = digest_find(name);
	fop->job->path = fs_keep(L, path);
	fop->job->in = fs_open_file(path, "hash", &st, &e);
	if (fop->job->in < 0)
		err_raise(L, &e);
	return fs_start(L, fop);
}

/* --- gzip ---------------------------------------------------------------------------- */
struct pack {
	z_stream z;
	struct fs_out out;
	char in[FS_CHUNK], buf[FS_CHUNK];
	long long read;		/* bytes of the file so far */
};

static void *pack_alloc(void *opaque, uInt n, uInt size)
{
	(void)opaque;
	return mem_alloc((size_t)n * size);
}

static void pack_free(void *opaque, void *p)
{
	(void)opaque;
	mem_free(p);
}

static struct pack *pack_new(struct fs_job *job)
{
	struct pack *p = mem_zalloc(sizeof *p);

	if (!p) {
		fs_job_fail(job, ENOMEM, job->path);
		return NULL;
	}
	p->out.fd = -1;
	p->z.zalloc = pack_alloc;
	p->z.zfree = pack_free;
	return p;
}

/* Writes what stands in buf. */
static int flush(struct fs_job *job, struct pack *p)
{
	size_t n = sizeof p->buf - p->z.avail_out;

	p->z.next_out = (Bytef *)p->buf;
	p->z.avail_out = sizeof p->buf;
	return n ? fs_out_write(job, &p->out, p->buf, n) : 0;
}

static void pack_all(struct fs_job *job, struct pack *p)
{
	int last = 0;
	ssize_t n;

	p->z.next_out = (Bytef *)p->buf;
	p->z.avail_out = sizeof p->buf;
	while (!last) {
		n = next(job, p->in);
		if (n < 0)
			return;
		last = n == 0;
		job->count += n;
		p->z.next_in = (Bytef *)p->in;
		p->z.avail_in = (uInt)n;
		for (;;) {
			int code = deflate(&p->z, last ? Z_FINISH : Z_NO_FLUSH);

			if (code == Z_STREAM_END ||
			    (p->z.avail_out && !last))
				break;
			if (flush(job, p))
				return;
		}
	}
	if (!flush(job, p))
		fs_out_commit(job, &p->out, job->flag);
}

static void run_gzip(struct fs_job *job)
{
	struct pack *p = pack_new(job);

	if (!p)
		return;
	if (deflateInit2(&p->z, job->level, Z_DEFLATED, MAX_WBITS + GZIP,
			 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		fs_job_fail(job, ENOMEM, job->path);
	} else {
		if (!fs_out_open(job, &p->out))
			pack_all(job, p);
		deflateEnd(&p->z);
	}
	fs_out_release(job, &p->out);
	mem_free(p);
}

/* --- gunzip -------------------------------------------------------------------------- */
static void bad(struct fs_job *job, const struct pack *p, const char *what)
{
	job->failed = 1;
	err_set(&job->err, ERR_PROTOCOL, "", "'%s' is damaged: %s at byte "
		"%lld, after %lld bytes unpacked", job->path, what,
		p->read - (long long)p->z.avail_in,
		job->bytes + (long long)(sizeof p->buf - p->z.avail_out));
	job->err.outcome = OUTCOME_FAILED;
}

static int too_much(struct fs_job *job, const struct pack *p)
{
	if (job->bytes + (long long)(sizeof p->buf - p->z.avail_out) <=
	    job->max)
		return 0;
	job->failed = 1;
	err_set(&job->err, ERR_LIMIT, "", "'%s' unpacks to more than %lld "
		"bytes", job->path, job->max);
	snprintf(job->err.hint, sizeof job->err.hint, "raise max when it is "
		 "meant to be that large");
	job->err.outcome = OUTCOME_FAILED;
	return -1;
}

/* One piece of input; *between: after the end of a member. 0 or -1. */
static int unpack(struct fs_job *job, struct pack *p, int *between)
{
	while (p->z.avail_in) {
		int code;

		if (*between) {		/* another member may follow */
			if (inflateReset(&p->z) != Z_OK)
				return bad(job, p, "zlib gave up"), -1;
			*between = 0;
		}
		code = inflate(&p->z, Z_NO_FLUSH);
		if (code == Z_STREAM_END) {
			*between = 1;
		} else if (code == Z_MEM_ERROR) {
			return fs_job_fail(job, ENOMEM, job->path);
		} else if (code != Z_OK && code != Z_BUF_ERROR) {
			bad(job, p, p->z.msg ? p->z.msg : "wrong data");
			return -1;
		}
		if (too_much(job, p) || flush(job, p))
			return -1;
	}
	return 0;
}

static void unpack_all(struct fs_job *job, struct pack *p)
{
	int between = 0;
	ssize_t n;

	p->z.next_out = (Bytef *)p->buf;
	p->z.avail_out = sizeof p->buf;
	while ((n = next(job, p->in)) > 0) {
		p->read += n;
		p->z.next_in = (Bytef *)p->in;
		p->z.avail_in = (uInt)n;
		if (unpack(job, p, &between))
			return;
	}
	if (n < 0)
		return;
	if (!between) {
		bad(job, p, p->read ? "it ends in the middle"
				    : "it is empty");
		return;
	}
	fs_out_commit(job, &p->out, job->flag);
}

static void run_gunzip(struct fs_job *job)
{
	struct pack *p = pack_new(job);

	if (!p)
		return;
	if (inflateInit2(&p->z, MAX_WBITS + GZIP) != Z_OK) {
		fs_job_fail(job, ENOMEM, job->path);
	} else {
		if (!fs_out_open(job, &p->out))
			unpack_all(job, p);
		inflateEnd(&p->z);
	}
	fs_out_release(job, &p->out);
	mem_free(p);
}

/* --- calls ------------------------------------------------------------------------------ */
/* gzip(from, to [, {level, mode, sync, timeout, expect}]) -> result */
static int l_fs_gzip(lua_State *L)
{
	static const char *const names[] = {
		"level", "mode", "sync", "timeout", "expect", NULL
	};
	struct fs_op *fop;
	lua_Integer level;

	lua_settop(L, 3);
	lx_opt_begin(L, 3, names);
	level = lx_opt_int(L, 3, "level", 6);
	luaL_argcheck(L, level >= 1 && level <= 9, 3, "level must be 1 to 9");
	fop = fs_new(L, "gzip", run_gzip, fs_push_done);
	fop->job->level = (int)level;
	return fs_start_copy(L, fop);
}

/* gunzip(from, to [, {max, mode, sync, timeout, expect}]) -> result */
static int l_fs_gunzip(lua_State *L)
{
	static const char *const names[] = {
		"max", "mode", "sync", "timeout", "expect", NULL
	};
	struct fs_op *fop;

	lua_settop(L, 3);
	lx_opt_begin(L, 3, names);
	fop = fs_new(L, "gunzip", run_gunzip, fs_push_done);
	fop->job->max = lx_opt_int(L, 3, "max", UNPACK_MAX);
	luaL_argcheck(L, fop->job->max >= 0, 3, "max must be 0 or more bytes");
	return fs_start_copy(L, fop);
}

void fs_open_pack(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "hash", l_fs_hash }, { "gzip", l_fs_gzip },
		{ "gunzip", l_fs_gunzip }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
