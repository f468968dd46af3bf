# shellcheck shell=bash disable=SC2034,SC2154,SC2016 # nginx's own variables
# nginx-conf.sh: the configuration of the component nginx and the metrics it
# serves. Paths are relative to the component's folder. Files below
# root/switch change answers while it runs: `down` (/health says 503),
# `broken` (the flaky origin says 500), `half` (it says so every other time).
# Owns nothing; must not start anything.

# nginx_conf: one process, in the foreground: it has no workers that could
# outlive it, and needs no other user.
nginx_conf() {
	printf '%s\n' 'daemon off;' 'master_process off;' 'pid run;' \
		'error_log stderr warn;' \
		'events { worker_connections 1024; }' \
		'http {' \
		'	log_format opsh "$request_method $request_uri $status "' \
		'		"$body_bytes_sent [$http_idempotency_key]";' \
		'	access_log access.log opsh;' \
		'	default_type application/octet-stream;' \
		'	client_body_temp_path tmp/body;' \
		'	proxy_temp_path tmp/proxy;' \
		'	fastcgi_temp_path tmp/fastcgi;' \
		'	uwsgi_temp_path tmp/uwsgi;' '	scgi_temp_path tmp/scgi;' \
		'	client_max_body_size 0;' '	keepalive_timeout 60;' \
		'	ssl_session_cache off;' \
		'	split_clients $request_id $half { 50% 1; * 0; }'
	nginx_conf_origin
	nginx_conf_other
	nginx_conf_tls good "$nginx_good" http2
	nginx_conf_tls expired "$nginx_expired"
	nginx_conf_tls wronghost "$nginx_wronghost"
	nginx_conf_tls selfsigned "$nginx_selfsigned"
	nginx_conf_tls soon "$nginx_soon"
	nginx_conf_tls good "$nginx_mutual" '' 'ssl_verify_client on;' \
		'ssl_client_certificate ca.crt;'
	nginx_conf_tls good "$nginx_old" '' 'ssl_protocols TLSv1.1;' \
		'ssl_ciphers DEFAULT:@SECLEVEL=0;'
	printf '}\n'
}

# nginx_conf_tls CERTIFICATE PORT [http2] [LINE...]
nginx_conf_tls() {
	printf '%s\n' '	server {' "		listen 127.0.0.1:$2 ssl ${3:-};" \
		"		ssl_certificate $1.crt;" \
		"		ssl_certificate_key $1.key;"
	shift 2
	[ $# -eq 0 ] || shift
	[ $# -eq 0 ] || printf '		%s\n' "$@"
	nginx_conf_places
	printf '%s\n' '	}'
}

nginx_conf_origin() {
	printf '%s\n' '	server {' "		listen 127.0.0.1:$nginx_http;" \
		'		listen unix:nginx.sock;'
	nginx_conf_places
	printf '%s\n' '	}'
}

# The second origin and the one with faults.
nginx_conf_other() {
	cat <<-CONF
		server {
			listen 127.0.0.1:$nginx_other;
			location / { $(nginx_conf_seen other) }
		}
		server {
			listen 127.0.0.1:$nginx_flaky;
			default_type application/json;
			set \$fault "";
			if (-f root/switch/half) { set \$fault \$half; }
			if (-f root/switch/broken) { set \$fault 1; }
			if (\$fault = 1) { return 500 '{"error":"broken by its switch"}'; }
			location / { return 200 '{"status":"UP"}'; }
		}
	CONF
}

# nginx_conf_seen ORIGIN: answers with what arrived, a line a header.
nginx_conf_seen() {
	printf '%s' 'default_type text/plain; return 200 "' \
		"origin: $1\\n" \
		'method: $request_method\nuri: $request_uri\n' \
		'protocol: $server_protocol\nhost: $http_host\n' \
		'user-agent: $http_user_agent\naccept: $http_accept\n' \
		'accept-encoding: $http_accept_encoding\n' \
		'authorization: $http_authorization\ncookie: $http_cookie\n' \
		'content-type: $http_content_type\n' \
		'content-length: $http_content_length\n' \
		'idempotency-key: $http_idempotency_key\nx-test: $http_x_test\n' \
		'ssl-client: $ssl_client_s_dn\nserver-name: $ssl_server_name\n";'
}

# nginx_conf_places: what every full origin serves.
nginx_conf_places() {
	local code
	for code in 200 201 202 204 400 401 403 404 409 410 418 422 425 429 500 \
		502 503 504; do
		printf '\t\tlocation = /status/%s { default_type text/plain; ' "$code"
		case $code in
		204) printf 'return 204; }\n' ;;
		*) printf 'return %s "status %s\\n"; }\n' "$code" "$code" ;;
		esac
	done
	nginx_conf_texts
	nginx_conf_files
	nginx_conf_faults
	nginx_conf_auth
}

nginx_conf_texts() {
	cat <<-CONF
		location = /health {
			default_type application/json;
			if (-f root/switch/down) { return 503 '{"status":"DOWN"}'; }
			return 200 '{"status":"UP"}';
		}
		location = /json {
			default_type application/json;
			set \$one '{"name":"opsh","count":9007199254740993,"ratio":0.5,';
			set \$two '"list":[1,2,3],"empty":[],"none":null,';
			return 200 '\$one\$two"text":"h\\u00e9 \\ud83d\\ude00"}';
		}
		location = /json/bad { default_type application/json; return 200 '{"name":'; }
		location = /empty { return 200 ''; }
		location /headers { $(nginx_conf_seen main) }
		location = /headers/set {
			add_header Set-Cookie a=1;
			add_header Set-Cookie b=2;
			add_header X-Empty "";
			add_header X-Latin $(printf 'caf\351');
			return 200 'ok';
		}
		location = /headers/big {
	CONF
	awk 'BEGIN { s = sprintf("%1000s", ""); gsub(/ /, "x", s)
		for (i = 1; i <= 64; i++) printf "\t\t\tadd_header X-Big-%d %s;\n", i, s }'
	printf '%s\n' "			return 200 'ok';" '		}'
}

nginx_conf_files() {
	cat <<-CONF
		location /bytes/ { root root; }
		location /gzip/ {
			root root;
			gzip on; gzip_comp_level 1; gzip_types *; gzip_min_length 1;
			gzip_http_version 1.0;
		}
		location = /metrics {
			root root;
			default_type "text/plain; version=0.0.4; charset=utf-8";
		}
		location /upload/ {
			root root;
			dav_methods PUT DELETE;
			create_full_put_path on;
			client_body_temp_path root/bodies;
		}
	CONF
	nginx_conf_stored post stored 200
	nginx_conf_stored accepted kept 202
}

# nginx_conf_stored PLACE INNER STATUS: stores the body and says where.
nginx_conf_stored() {
	cat <<-CONF
		location /$1 {
			client_body_in_file_only on;
			client_body_temp_path root/bodies;
			proxy_pass http://127.0.0.1:$nginx_http/$2;
			proxy_pass_request_body off;
			proxy_method GET;
			proxy_set_header Content-Length "";
			proxy_set_header X-Method \$request_method;
			proxy_set_header X-Type \$content_type;
			proxy_set_header X-File \$request_body_file;
		}
		location /$2 {
			default_type application/json;
			set \$one '{"method":"\$http_x_method","type":"\$http_x_type",';
			return $3 '\$one"file":"\$http_x_file","key":"\$http_idempotency_key"}';
		}
	CONF
}

# /slow: the headers at once, then a byte a second; /slow/headers: those too.
nginx_conf_faults() {
	cat <<-CONF
		location = /slow {
			alias root/bytes/1k;
			limit_rate_after 700;
			limit_rate 1;
		}
		location = /slow/headers { alias root/bytes/1k; limit_rate 1; }
		location /silent {
			proxy_pass http://127.0.0.1:$nginx_silent;
			proxy_read_timeout 1d;
			proxy_ignore_client_abort off;
		}
		location = /broken { return 444; }
		location = /busy {
			default_type text/plain;
			add_header Retry-After 1 always;
			return 503 'busy';
		}
		location = /limited {
			default_type text/plain;
			add_header Retry-After 1 always;
			return 429 'too many';
		}
		location = /redirect/same { return 302 /health; }
		location = /redirect/other { return 302 http://127.0.0.1:$nginx_other/headers; }
		location = /redirect/loop { return 302 /redirect/loop; }
		location = /redirect/307 { return 307 /headers; }
		location = /redirect/tls { return 301 https://localhost:$nginx_good/health; }
	CONF
}

nginx_conf_auth() {
	local token
	token=$(cat "$stack_dir/token")
	cat <<-CONF
		location /auth {
			auth_basic ops;
			auth_basic_user_file htpasswd;
			try_files /none @seen;
		}
		location @seen { $(nginx_conf_seen auth) }
		location /bearer {
			default_type application/json;
			if (\$http_authorization != "Bearer $token") {
				return 401 '{"error":"bad token"}';
			}
			return 200 '{"ok":true}';
		}
	CONF
}

# nginx_metrics: what /metrics serves; a test may write root/metrics anew.
nginx_metrics() {
	cat <<-'TEXT'
		# HELP http_requests_total Requests, by code.
		# TYPE http_requests_total counter
		http_requests_total{code="200",method="GET"} 1027
		http_requests_total{code="500",method="GET"} 3
		# HELP gateway_circuit_breaker_state 0 closed, 1 open, 2 half-open.
		# TYPE gateway_circuit_breaker_state gauge
		gateway_circuit_breaker_state{dependency="kafka"} 0
		# HELP http_request_duration_seconds Time of a request.
		# TYPE http_request_duration_seconds histogram
		http_request_duration_seconds_bucket{le="0.05"} 240
		http_request_duration_seconds_bucket{le="0.1"} 334
		http_request_duration_seconds_bucket{le="0.5"} 1001
		http_request_duration_seconds_bucket{le="1"} 1020
		http_request_duration_seconds_bucket{le="+Inf"} 1030
		http_request_duration_seconds_sum 284.5
		http_request_duration_seconds_count 1030
		# HELP queue_age_seconds Age, with "quotes", a \\ and a\nnew line.
		# TYPE queue_age_seconds summary
		queue_age_seconds{queue="a\"b\\c\nd",quantile="0.5"} 0.25
		queue_age_seconds{queue="a\"b\\c\nd",quantile="0.99"} NaN
		queue_age_seconds_sum{queue="a\"b\\c\nd"} 12
		queue_age_seconds_count{queue="a\"b\\c\nd"} 48
		# HELP process_resident_memory_bytes Memory.
		# TYPE process_resident_memory_bytes gauge
		process_resident_memory_bytes 2.5165824e+07
		# HELP limit_bytes No limit.
		# TYPE limit_bytes gauge
		limit_bytes +Inf
	TEXT
}
