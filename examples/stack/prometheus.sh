# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# prometheus: scrapes itself each second, and the /metrics of the component
# nginx when that is up before it. Has one alert that always fires, one that
# does not, and a recorded series. Ready when the first scrape can be asked
# for and the alert fires. Owns its server; must not touch another.

prometheus_up() {
	local try log=$stack_dir/prometheus.log
	prometheus_program=$(stack_program prometheus) || return 1
	mkdir -p -- "$stack_dir/data" || return 1
	prometheus_rules >"$stack_dir/rules.yml" || return 1
	for try in 1 2 3 4 5; do
		prometheus_port=$(stack_free_port) || return 1
		prometheus_conf >"$stack_dir/prometheus.yml" || return 1
		: >"$log"
		stack_spawn prometheus "$prometheus_program" \
			--config.file="$stack_dir/prometheus.yml" \
			--storage.tsdb.path="$stack_dir/data" \
			--web.listen-address="127.0.0.1:$prometheus_port" \
			--web.enable-lifecycle --log.level=warn
		stack_within "$stack_limit" prometheus_settled || break
		if stack_alive "$stack_dir/prometheus.pid"; then
			prometheus_pid=$stack_pid
			return 0
		fi
		grep -q 'address already in use' "$log" || break
		stack_say "port $prometheus_port of 'prometheus' is taken (try $try)"
	done
	stack_fail "cannot start 'prometheus': no answer on port $prometheus_port" \
		"$log"
}

prometheus_conf() {
	printf '%s\n' 'global:' '  scrape_interval: 1s' '  scrape_timeout: 1s' \
		'  evaluation_interval: 1s' 'rule_files: ["rules.yml"]' \
		'scrape_configs:' '  - job_name: prometheus' '    static_configs:' \
		"      - targets: ['127.0.0.1:$prometheus_port']"
	[ -f "$stack_root/nginx/env" ] || return 0
	printf '%s\n' '  - job_name: nginx' '    static_configs:' \
		"      - targets: ['127.0.0.1:$(sed -n "s/^OPSH_NGINX_PORT='\(.*\)'/\1/p" \
			"$stack_root/nginx/env")']"
}

prometheus_rules() {
	cat <<-'RULES'
		groups:
		  - name: opsh
		    rules:
		      - record: opsh:up:sum
		        expr: sum(up)
		      - alert: AlwaysFiring
		        expr: vector(7) > 1
		        labels: { severity: critical }
		        annotations: { summary: "value is {{ $value }}" }
		      - alert: NeverFiring
		        expr: vector(0) > 1
		        labels: { severity: warning }
	RULES
}

# prometheus_settled: 0 when it is dead, or when it has scraped what it shall
# and the alert fires.
prometheus_settled() {
	local want=1
	stack_alive "$stack_dir/prometheus.pid" || return 0
	[ ! -f "$stack_root/nginx/env" ] || want=2
	stack_http "$prometheus_port" "/api/v1/query?query=opsh:up:sum==$want" |
		grep -q '"value"' &&
		stack_http "$prometheus_port" /api/v1/alerts | grep -q '"firing"'
}

prometheus_env() {
	stack_put OPSH_PROMETHEUS_URL "http://127.0.0.1:$prometheus_port"
	stack_put OPSH_PROMETHEUS_PORT "$prometheus_port"
	stack_put OPSH_PROMETHEUS_PID "$prometheus_pid"
	stack_put OPSH_PROMETHEUS_RULES "$stack_dir/rules.yml"
}

prometheus_targets() {
	printf '\t\tprometheus = { kind = "http", url = "http://127.0.0.1:%s" },\n' \
		"$prometheus_port"
}

prometheus_down() {
	stack_stop
}
