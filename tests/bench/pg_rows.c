/*
 * pg_rows: the plain C twin of pg_rows.lua: one query by libpq, text format, and
 * every value of its rows touched. Prints the seconds of it and a sum, so that both
 * can be seen to have done the same. Arguments: connection string, rows.
 */
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SQL "select i, 'row ' || i as t, i * 1.5::float8 as f, " \
	"i::bigint * 1000000 as b, i %% 2 = 0 as e from generate_series(1, %s) i"

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	long long sum = 0, big = 0, text = 0, even = 0;
	double floats = 0, start;
	char sql[300];
	PGconn *c;
	PGresult *r;
	int i, n;

	if (argc < 3)
		return 2;
	c = PQconnectdb(argv[1]);
	if (PQstatus(c) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(c));
		return 1;
	}
	snprintf(sql, sizeof sql, SQL, argv[2]);
	PQclear(PQexec(c, "select 1"));
	start = now();
	r = PQexec(c, sql);
	n = PQntuples(r);
	for (i = 0; i < n; i++) {
		sum += strtoll(PQgetvalue(r, i, 0), NULL, 10);
		text += PQgetlength(r, i, 1);
		floats += strtod(PQgetvalue(r, i, 2), NULL);
		big += strtoll(PQgetvalue(r, i, 3), NULL, 10);
		even += *PQgetvalue(r, i, 4) == 't';
	}
	printf("%.6f %lld\n", now() - start, sum + text + (long long)floats +
	       big + even);
	PQclear(r);
	PQfinish(c);
	return 0;
}
