# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# kubernetes: a real cluster on loopback: etcd, apiserver, controllers, scheduler,
# metrics-server, one node (kubelet, containerd, runc), and in the namespace `opsh`
# a Deployment `web` of two. Its programs are built by Go once, into build/kube.
# Owns what it starts and what that leaves on the machine. Needs root for the
# node. Must not write the machine's iptables.

# shellcheck source=lib/kube-plane.sh
. "$stack_here/lib/kube-plane.sh"
# shellcheck source=lib/kube-node.sh
. "$stack_here/lib/kube-node.sh"

kube_bin=${OPSH_KUBE_BUILD:-$(cd -- "$stack_here/../.." && pwd -P)/build/kube}
kube_group=opsh-kube-$(printf %s "$stack_dir" | cksum | cut -d ' ' -f 1)
kube_namespace=opsh

kubernetes_up() {
	kube_need && kube_build || return 1
	kube_start || return 1
	kube_web
}

# kube_need: says all that is missing, at once.
kube_need() {
	local name missing=
	[ "$(id -u)" -eq 0 ] || stack_fail \
		"kubernetes needs root: its node makes containers" || return 1
	for name in go containerd ctr runc busybox ip openssl flock; do
		command -v "$name" >/dev/null || missing="$missing '$name'"
	done
	kube_cni=
	for name in /usr/lib/cni /opt/cni/bin; do
		[ ! -x "$name/ptp" ] || kube_cni=$name
	done
	[ -n "$kube_cni" ] || missing="$missing 'ptp' (containernetworking-plugins)"
	[ -z "$missing" ] || stack_fail \
		"kubernetes can't start, these are not here:$missing" || return 1
	[ ${#stack_dir} -le 64 ] || stack_fail \
		"'$stack_dir' is too long for the sockets of kubernetes: 64 bytes at most"
}

# kube_build: as a process with a pid file: a signal that ends stack ends it.
kube_build() {
	local log=$stack_dir/build.log
	stack_spawn build "$stack_here/lib/kube-build.sh" \
		"$stack_here/kube" "$kube_bin"
	stack_within 1800 kube_build_ended || stack_fail \
		"kubernetes is not built after 30 minutes" "$log" || return 1
	[ -e "$kube_bin/stamp" ] ||
		stack_fail "cannot build kubernetes" "$log" || return 1
	rm -f -- "$stack_dir/build.pid"
}

kube_build_ended() {
	! stack_alive "$stack_dir/build.pid"
}

# kube_start: once more with other ports when one was taken meanwhile.
kube_start() {
	local try ports
	for try in 1 2 3; do
		mapfile -t ports < <(stack_free_port 5)
		[ ${#ports[@]} -eq 5 ] || return 1
		kube_port=${ports[0]} kube_etcd_port=${ports[1]}
		kube_peer_port=${ports[2]} kube_kubelet_port=${ports[3]}
		kube_metrics_port=${ports[4]}
		if kube_plane && kube_node &&
		    { [ ! -x "$kube_bin/metrics-server" ] || kube_metrics; }; then
			return 0
		fi
		grep -qs 'address already in use' "$stack_dir"/*.log || return 1
		kubernetes_down && rm -rf -- "$stack_dir"/*
	done
	return 1
}

# kube_web: until both of its pods are ready.
kube_web() {
	kube_ctl create namespace "$kube_namespace" >/dev/null || return 1
	kube_ctl -n "$kube_namespace" apply -f "$stack_here/kube/web.yaml" \
		>/dev/null || return 1
	kube_await "$stack_limit" "deployment 'web'" kubelet \
		kube_ctl -n "$kube_namespace" rollout status deployment/web \
		--timeout=5s
}

kubernetes_env() {
	stack_put OPSH_KUBECONFIG "$stack_dir/admin.conf"
	stack_put OPSH_KUBECTL "$kube_bin/kubectl"
	stack_put OPSH_KUBE_NAMESPACE "$kube_namespace"
	stack_put OPSH_KUBE_KUBELET "$stack_dir/kubelet.pid"
}

kubernetes_targets() {
	printf '\t\t%s\n' 'cluster = { kind = "kubernetes",' \
		"	kubeconfig = $(stack_lua "$stack_dir/admin.conf")," \
		"	kubectl = $(stack_lua "$kube_bin/kubectl")," \
		"	namespace = \"$kube_namespace\" },"
}

# All is for throwing away, so KILL: it has to work after a run that was killed
# half way. The group of a build has the compiler in it.
kubernetes_down() {
	local file rc=0
	for file in "$stack_dir"/*.pid; do
		[ -f "$file" ] && stack_alive "$file" || continue
		kill -KILL -- "-$stack_pid" 2>/dev/null || kill -KILL "$stack_pid"
	done
	stack_stop || rc=1
	kube_node_down || rc=1
	return $rc
}
