/*
 * http_get: the plain C that opsh is measured against: COUNT GETs of BASE0 ..
 * on libcurl's multi interface, so many in flight, each body kept until its
 * end and its status looked at. Prints the seconds that took (start-up not
 * counted) and the sum of lengths, so that both sides can be seen to have done
 * the same. Must stay what a good C programmer would write by hand.
 *
 *     http_get BASE [COUNT [IN-FLIGHT]]
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_MAX 65536

struct slot {
	CURL *easy;			/* owned */
	size_t len;
	char body[BODY_MAX];
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct slot *slot = arg;

	if (size * n > BODY_MAX - slot->len)
		return 0;
	memcpy(slot->body + slot->len, data, size * n);
	slot->len += size * n;
	return size * n;
}

static int start(CURLM *multi, struct slot *slot, const char *base, long i)
{
	char url[512];

	slot->len = 0;
	snprintf(url, sizeof(url), "%s%ld", base, i);
	return curl_easy_setopt(slot->easy, CURLOPT_URL, url) == CURLE_OK &&
	       curl_multi_add_handle(multi, slot->easy) == CURLM_OK;
}

static int prepare(struct slot *slot)
{
	slot->easy = curl_easy_init();
	if (!slot->easy)
		return 0;
	curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
	curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, 30000L);
	return 1;
}

/* Takes what has ended and starts the next on its handle; -1 on a failure. */
static long harvest(CURLM *multi, const char *base, long *next, long count,
		    long *sum)
{
	CURLMsg *msg;
	int left;
	long ended = 0;

	while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
		struct slot *slot;
		CURL *easy = msg->easy_handle;
		CURLcode code = msg->data.result;
		long status = 0;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&slot);
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		curl_multi_remove_handle(multi, easy);
		if (code != CURLE_OK || status != 200) {
			fprintf(stderr, "http_get: %s, status %ld\n",
				curl_easy_strerror(code), status);
			return -1;
		}
		*sum += (long)slot->len;
		ended++;
		if (*next < count && !start(multi, slot, base, (*next)++))
			return -1;
	}
	return ended;
}

int main(int argc, char **argv)
{
	const char *base = argc > 1 ? argv[1] : NULL;
	long count = argc > 2 ? strtol(argv[2], NULL, 10) : 20000;
	long many = argc > 3 ? strtol(argv[3], NULL, 10) : 50;
	long i, next = 0, done = 0, sum = 0, ended;
	struct slot *slots = NULL;
	CURLM *multi = NULL;
	double from;
	int running, code = 1;

	if (!base || count < many || many <= 0) {
		fprintf(stderr, "usage: http_get BASE [COUNT [IN-FLIGHT]]\n");
		return 2;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	slots = calloc((size_t)many, sizeof(*slots));
	if (!multi || !slots)
		goto out;
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, many);
	for (i = 0; i < many; i++)
		if (!prepare(&slots[i]))
			goto out;
	from = now();
	for (i = 0; i < many; i++)
		if (!start(multi, &slots[i], base, next++))
			goto out;
	while (done < count) {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			goto out;
		ended = harvest(multi, base, &next, count, &sum);
		if (ended < 0)
			goto out;
		done += ended;
		if (!ended && curl_multi_poll(multi, NULL, 0, 1000, NULL) !=
		    CURLM_OK)
			goto out;
	}
	printf("%.6f %ld\n", now() - from, sum);
	code = 0;
out:
	for (i = 0; slots && i < many; i++)
		if (slots[i].easy) {
			curl_multi_remove_handle(multi, slots[i].easy);
			curl_easy_cleanup(slots[i].easy);
		}
	free(slots);
	if (multi)
		curl_multi_cleanup(multi);
	curl_global_cleanup();
	return code;
}
