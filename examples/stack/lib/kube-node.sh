# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# kube-node.sh: the node of the component kubernetes: containerd, kubelet, and all
# that they leave outside the component's folder: cgroups, mounts, network
# namespaces, links and addresses, ip_forward; kube_node_down takes it all back,
# also after a half-dead cluster. Must not touch another containerd's.

# Version 2 of cgroups is one tree, version 1 is one a controller.
kube_cgroup_roots() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		echo /sys/fs/cgroup
	else
		printf '%s\n' /sys/fs/cgroup/*/
	fi
}

# kube_network: a 10.N.0 that no route has.
kube_network() {
	local first=$((RANDOM % 128)) n
	for ((n = 0; n < 128; n++)); do
		kube_net=10.$((64 + (first + n) % 128)).0
		ip route | grep -qF "$kube_net." || return 0
	done
	stack_fail "no network 10.64.0 to 10.191.0 is free"
}

# An image that was not imported must fail at once, without the network.
kube_containerd_files() {
	local node=$stack_dir/node
	mkdir -p "$node"/{cni,hosts/_default,kubelet,logs} || return 1
	echo 'server = "http://127.0.0.1:9"' >"$node/hosts/_default/hosts.toml"
	cat >"$node/cni/10-ptp.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$kube_group", "plugins": [{
  "type": "ptp", "mtu": 1400,
  "ipam": {"type": "host-local", "dataDir": "$node/ipam",
    "ranges": [[{"subnet": "$kube_net.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
}]}
JSON
	# Without CAP_SYS_RESOURCE a sandbox can't have the OOM score it asks for.
	cat >"$node/containerd.toml" <<TOML
version = 2
root = "$node/containerd"
state = "$node/run"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "$node/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$kube_cni"
    conf_dir = "$node/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$node/runc"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$node/hosts"
TOML
}

kube_containerd() {
	local node=$stack_dir/node file
	kube_containerd_files || return 1
	stack_spawn containerd containerd -c "$node/containerd.toml"
	kube_await "$stack_limit" containerd containerd \
		ctr -a "$node/c.sock" version || return 1
	for file in "$kube_bin"/web*.tar; do
		ctr -a "$node/c.sock" -n k8s.io images import "$file" >/dev/null ||
			stack_fail "cannot import '$file'" \
				"$stack_dir/containerd.log" || return 1
	done
}

# kubelet wants its group to be there; a new cpuset of version 1 is empty.
kube_cgroups() {
	local root group file
	while read -r root; do
		for group in "$kube_group" "$kube_group/node"; do
			mkdir -p "$root/$group" || return 1
			[ -e "$root/cpuset.cpus" ] || continue
			for file in cpuset.cpus cpuset.mems; do
				cat "$root/$file" >"$root/$group/$file"
			done
		done
	done < <(kube_cgroup_roots)
	[ ! -e /sys/fs/cgroup/cgroup.controllers ] || tee \
		/sys/fs/cgroup/cgroup.subtree_control \
		"/sys/fs/cgroup/$kube_group/cgroup.subtree_control" \
		>/dev/null 2>&1 <<<'+cpu +memory +pids +cpuset' || :
}

# kubelet refuses a loopback address for its node, but keeps the one of a node
# that is there before it, when its cloud provider is said to be external.
kube_node_object() {
	kube_ctl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Node
metadata: {name: node, labels: {kubernetes.io/hostname: node}}
YAML
	kube_ctl patch node node --subresource status --type merge -p \
		'{"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"},
		{"type":"Hostname","address":"node"}]}}' >/dev/null
}

kube_kubelet() {
	local node=$stack_dir/node
	cat >"$node/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kube_kubelet_port
healthzPort: 0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $stack_dir/pki/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$node/c.sock
cgroupDriver: cgroupfs
cgroupRoot: /$kube_group/node
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: ""
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
podLogsDir: $node/logs
evictionHard: {memory.available: "0%", nodefs.available: "0%",
  nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
YAML
	stack_spawn kubelet "$kube_bin/kubelet" --config "$node/kubelet.yaml" \
		--kubeconfig "$node/kubelet.conf" --root-dir "$node/kubelet" \
		--cert-dir "$node/kubelet/pki" --hostname-override node \
		--cloud-provider external
}

# kube_node: containerd and kubelet, until the node is ready.
kube_node() {
	kube_network && kube_containerd || return 1
	cat /proc/sys/net/ipv4/ip_forward >"$stack_dir/ip_forward"
	kube_cgroups || stack_fail "cannot make the cgroup '$kube_group'" ||
		return 1
	kube_cert node /O=system:nodes/CN=system:node:node &&
		kube_config "$stack_dir/node/kubelet.conf" node &&
		kube_node_object || return 1
	kube_kubelet
	kube_await "$stack_limit" 'node of kubernetes' kubelet kube_ctl wait \
		--for=condition=Ready node --all --timeout=1s
}

# --- taking it back -----------------------------------------------------------

# kube_kill PID...: ends them and waits until they are gone.
kube_kill() {
	local pid
	for pid in "$@"; do
		kill -KILL "$pid" 2>/dev/null
	done
	for pid in "$@"; do
		stack_within 5 kube_is_gone "$pid" || :
	done
}

# A zombie is gone: it may take its parent seconds to say so.
kube_is_gone() {
	[ ! -e "/proc/$1/exe" ]
}

# The shims of containers outlive their containerd, and so do their sockets.
kube_shims_down() {
	local file id
	for file in "$stack_dir"/node/run/io.containerd.runtime.v2.task/k8s.io/*; do
		[ -e "$file/address" ] || continue
		id=${file##*/}
		# shellcheck disable=SC2046 # numbers
		kube_kill $(pgrep -f -- "containerd-shim.* -id $id ")
		id=$(cat -- "$file/address")
		rm -f -- "${id#unix://}"
	done
}

kube_group_gone() {
	find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null |
		xargs -r kill -KILL 2>/dev/null
	find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null
	[ ! -d "$1" ]
}

kube_groups_down() {
	local root rc=0
	while read -r root; do
		[ -d "$root/$kube_group" ] || continue
		stack_within 5 kube_group_gone "$root/$kube_group" || {
			stack_fail "cannot remove the cgroup '$root/$kube_group'"
			rc=1
		}
	done < <(kube_cgroup_roots)
	return $rc
}

# Volumes, overlays and network namespaces; the links of the last go with them.
kube_mounts_down() {
	local at
	awk -v dir="$stack_dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts |
		sort -r | while read -r at; do
		umount -l -- "$at"
	done
}

# What no setting of kubelet and the plugins moves into the folder.
kube_traces_down() {
	local file id
	find /var/log/containers -lname "$stack_dir/*" -delete 2>/dev/null
	for file in "/var/lib/cni/results/$kube_group"-*; do
		[ -e "$file" ] || continue
		id=${file##*/"$kube_group"-}
		rm -f -- "$file" "${file%/*}/cni-loopback-${id%-eth0}-lo"
	done
	[ ! -e "$stack_dir/ip_forward" ] || {
		cat -- "$stack_dir/ip_forward" >/proc/sys/net/ipv4/ip_forward
		rm -f -- "$stack_dir/ip_forward"
	}
}

kube_node_down() {
	local rc=0
	kube_shims_down
	kube_groups_down || rc=1
	kube_mounts_down
	kube_traces_down
	return $rc
}
