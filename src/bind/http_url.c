/*
 * http_url: where a redirect leads, read with libcurl's URL parser: within the
 * origin of the request, or to another, which is not followed.
 */
#include "bind/http.h"

#include <curl/urlapi.h>

static int same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	int same = !curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) &&
		!curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) &&
		curl_strequal(x, y);

	curl_free(x);
	curl_free(y);
	return same;
}

int http_curl_follow(struct http_xfer *x, const char *url)
{
	CURLU *from = curl_url(), *to = curl_url();
	char *text = NULL;
	int answer = -1;

	if (!from || !to ||
	    curl_url_set(from, CURLUPART_URL, x->url.data, 0) ||
	    curl_url_set(to, CURLUPART_URL, x->url.data, 0) ||
	    curl_url_set(to, CURLUPART_URL, url, 0) ||
	    curl_url_set(to, CURLUPART_FRAGMENT, NULL, 0))
		goto out;
	answer = same_part(from, to, CURLUPART_SCHEME) &&
		same_part(from, to, CURLUPART_HOST) &&
		same_part(from, to, CURLUPART_PORT);
	if (!answer || curl_url_get(to, CURLUPART_PATH, &text, 0))
		goto out;
	buf_clear(&x->url);
	buf_adds(&x->url, x->hc->o.socket ? "http://localhost" :
		 x->hc->origin);
	buf_adds(&x->url, text);
	curl_free(text);
	text = NULL;
	if (!curl_url_get(to, CURLUPART_QUERY, &text, 0))
		buf_addf(&x->url, "?%s", text);
out:
	curl_free(text);
	curl_url_cleanup(from);
	curl_url_cleanup(to);
	return answer;
}
