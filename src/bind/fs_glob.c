/*
 * fs_glob: lists of names, and paths by pattern without a shell: `*`, `?`,
 * `[a-z]` within a part of the path, `**` for any number of folders. Hidden names
 * need a dot in the pattern. Runs in the pool; follows no link below `**`.
 */
#include "bind/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/lx.h"
#include "core/mem.h"

/* --- names ------------------------------------------------------------------------- */
int fs_names_add(struct fs_job *job, const char *name, long long n)
{
	buf_add(&job->out, name, strlen(name) + 1);
	if (n <= FS_NAMES_MAX && buf_ok(&job->out))
		return 0;
	if (n > FS_NAMES_MAX) {
		job->failed = 1;
		err_set(&job->err, ERR_LIMIT, "", "'%s' has more than %d "
			"names", job->path, FS_NAMES_MAX);
		return -1;
	}
	return fs_job_fail(job, ENOMEM, job->path);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void fs_names_sort(struct fs_job *job, long long n)
{
	char *at = job->out.data;
	long long i, kept = 0;

	job->names = mem_alloc((size_t)(n ? n : 1) * sizeof *job->names);
	if (!job->names) {
		fs_job_fail(job, ENOMEM, job->path);
		return;
	}
	for (i = 0; i < n; i++, at += strlen(at) + 1)
		job->names[i] = at;
	qsort(job->names, (size_t)n, sizeof *job->names, by_bytes);
	for (i = 0; i < n; i++)		/* two ways may lead to one path */
		if (!kept || strcmp(job->names[kept - 1], job->names[i]))
			job->names[kept++] = job->names[i];
	job->count = kept;
}

/* --- patterns ------------------------------------------------------------------------ */
struct walk {
	struct fs_job *job;	/* borrowed */
	long long n;		/* paths found */
	long long seen;
	char path[PATH_MAX];	/* what was walked so far */
	size_t len;
};

static void walk(struct walk *w, const char *pattern);

static int is_magic(const char *part, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (strchr("*?[\\", part[i]))
			return 1;
	return 0;
}

/* Adds a name to the path; 0 when it gets too long. */
static int enter(struct walk *w, const char *name, size_t len)
{
	int slash = w->len && w->path[w->len - 1] != '/';

	if (w->len + (size_t)slash + len + 1 > sizeof w->path) {
		fs_job_fail(w->job, ENAMETOOLONG, w->job->path);
		return 0;
	}
	if (slash)
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, len);
	w->len += len;
	w->path[w->len] = '\0';
	return 1;
}

static void leave(struct walk *w, size_t len)
{
	w->len = len;
	w->path[len] = '\0';
}

/* At the end of the pattern: the path counts when it is there. */
static void found(struct walk *w)
{
	struct stat st;

	if (w->len && !lstat(w->path, &st))
		fs_names_add(w->job, w->path, ++w->n);
}

/* Is the entry a folder, and not a link to one? */
static int is_folder(struct walk *w, const struct dirent *item)
{
	struct stat st;

	if (item->d_type != DT_UNKNOWN)
		return item->d_type == DT_DIR;
	return !lstat(w->path, &st) && S_ISDIR(st.st_mode);
}

/* Each name of the folder that the part matches; deep: the part is `**`, and
 * stays in force below. */
static void each(struct walk *w, const char *part, const char *rest, int deep)
{
	DIR *d = opendir(w->len ? w->path : ".");
	struct dirent *item;
	size_t len = w->len;
	int folder;

	if (!d) {
		if (errno != ENOENT && errno != ENOTDIR)
			fs_job_fail(w->job, errno, w->len ? w->path : ".");
		return;
	}
	while (!w->job->failed && (errno = 0, item = readdir(d))) {
		const char *name = item->d_name;

		if (++w->seen % 256 == 0 && fs_stopped(w->job))
			break;
		if (!strcmp(name, ".") || !strcmp(name, "..") ||
		    fnmatch(part, name, FNM_PERIOD))
			continue;
		if (!enter(w, name, strlen(name)))
			break;
		folder = deep && is_folder(w, item);
		if (folder)
			each(w, part, rest, 1);
		if (!w->job->failed && (!deep || folder || !*rest))
			walk(w, rest);
		leave(w, len);
	}
	if (!w->job->failed && errno)
		fs_job_fail(w->job, errno, w->path);
	closedir(d);
}

static void walk(struct walk *w, const char *pattern)
{
	size_t slashes = strspn(pattern, "/"), len, before = w->len;
	char part[NAME_MAX + 1];
	const char *rest;
	struct stat st;

	pattern += slashes;
	len = strcspn(pattern, "/");
	rest = pattern + len;
	if (!len) {
		/* a slash at the end asks for a folder */
		if (!slashes || (!stat(w->path, &st) && S_ISDIR(st.st_mode)))
			found(w);
		return;
	}
	if (len > NAME_MAX) {
		fs_job_fail(w->job, ENAMETOOLONG, w->job->path);
		return;
	}
	memcpy(part, pattern, len);
	part[len] = '\0';
	if (!strcmp(part, "**")) {
		if (*rest && rest[strspn(rest, "/")])
			walk(w, rest);		/* no folder at all */
		if (!w->job->failed)
			each(w, "*", rest, 1);
	} else if (is_magic(part, len)) {
		each(w, part, rest, 0);
	} else if (enter(w, part, len)) {
		walk(w, rest);
	}
	leave(w, before);
}

static void run_glob(struct fs_job *job)
{
	struct walk *w = mem_zalloc(sizeof *w);

	if (!w) {
		fs_job_fail(job, ENOMEM, job->path);
		return;
	}
	w->job = job;
	if (job->path[0] == '/')
		enter(w, "/", 1);
	walk(w, job->path + (job->path[0] == '/'));
	if (!job->failed)
		fs_names_sort(job, w->n);
	mem_free(w);
}

/* glob(pattern [, {timeout}]) -> paths, sorted */
static int l_fs_glob(lua_State *L)
{
	static const char *const names[] = { "timeout", NULL };
	const char *pattern = fs_checkpath(L, 1);
	struct fs_op *fop;

	lua_settop(L, 2);
	lx_opt_begin(L, 2, names);
	fop = fs_new(L, "glob", run_glob, fs_push_names);
	fop->timeout = fs_timeout(L, 2, FS_TIMEOUT);
	fop->job->path = fs_keep(L, pattern);
	return fs_start(L, fop);
}

void fs_open_glob(lua_State *L)
{
	static const luaL_Reg funcs[] = {
		{ "glob", l_fs_glob }, { NULL, NULL }
	};

	lx_setfuncs(L, funcs);
}
