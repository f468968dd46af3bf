# shellcheck shell=bash disable=SC2034,SC2154,SC2015 # names shared with stack
# kube-plane.sh: what the component kubernetes has beside its node: certificates,
# kubeconfigs, etcd, apiserver, controllers, scheduler, metrics-server. Owns their
# files in the component's folder; processes and pid files belong to stack. Must
# not need root, nor know what runs on the cluster.

# kube_ctl ARGUMENT...: kubectl as the cluster's administrator.
kube_ctl() {
	"$kube_bin/kubectl" --kubeconfig "$stack_dir/admin.conf" \
		--request-timeout 10s "$@"
}

# kube_await SECONDS WHAT LOG COMMAND...: until COMMAND succeeds; ends at once,
# with the log of it, when a process of the cluster has died.
kube_await() {
	local limit=$1 what=$2 log=$3 until file
	shift 3
	until=$((SECONDS + limit))
	while ! "$@" >/dev/null 2>&1; do
		for file in "$stack_dir"/*.pid; do
			stack_alive "$file" || {
				file=${file##*/}
				stack_fail "'${file%.pid}' of kubernetes ended" \
					"$stack_dir/${file%.pid}.log"
				return 1
			}
		done
		[ "$SECONDS" -le "$until" ] || {
			stack_fail "$what: nothing after $limit s" \
				"$stack_dir/$log.log"
			return 1
		}
		sleep 0.1
	done
}

# --- certificates -----------------------------------------------------------

# kube_cert NAME SUBJECT [NAMES]: a key and its certificate of the one authority.
kube_cert() {
	local pki=$stack_dir/pki
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-subj "$2" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null &&
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" \
		-CAkey "$pki/ca.key" -CAcreateserial -days 30 -extfile <(
			echo 'extendedKeyUsage=serverAuth,clientAuth'
			[ -z "${3:-}" ] || echo "subjectAltName=$3"
		) -out "$pki/$1.crt" 2>/dev/null
}

# kube_config FILE NAME: a kubeconfig with the certificate NAME in it.
kube_config() {
	local pki=$stack_dir/pki
	cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: stack
clusters:
- name: stack
  cluster:
    server: https://127.0.0.1:$kube_port
    certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
contexts:
- name: stack
  context: {cluster: stack, user: $2}
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 "$pki/$2.crt")
    client-key-data: $(base64 -w0 "$pki/$2.key")
YAML
}

kube_pki() {
	local pki=$stack_dir/pki name
	mkdir -p "$pki" &&
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-days 30 -subj /CN=stack-ca -keyout "$pki/ca.key" \
		-out "$pki/ca.crt" 2>/dev/null &&
	openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null &&
	kube_cert apiserver /CN=kube-apiserver \
		IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc &&
	kube_cert admin /O=system:masters/CN=admin &&
	kube_cert kubelet-client /O=system:masters/CN=apiserver-kubelet-client &&
	kube_cert front-proxy /CN=front-proxy &&
	kube_cert controllers /CN=system:kube-controller-manager &&
	kube_cert scheduler /CN=system:kube-scheduler || return 1
	for name in admin controllers scheduler; do
		kube_config "$stack_dir/$name.conf" $name || return 1
	done
}

# --- processes --------------------------------------------------------------

kube_etcd() {
	local client=http://127.0.0.1:$kube_etcd_port
	local peer=http://127.0.0.1:$kube_peer_port
	stack_spawn etcd "$kube_bin/etcd" --name stack --log-level warn \
		--data-dir "$stack_dir/etcd-data" --unsafe-no-fsync \
		--listen-client-urls "$client" --advertise-client-urls "$client" \
		--listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
		--initial-cluster "stack=$peer"
}

# Endpoints may not be loopback addresses, so nothing is to publish its own.
kube_apiserver() {
	local pki=$stack_dir/pki header=X-Remote
	stack_spawn apiserver "$kube_bin/kube-apiserver" \
		--etcd-servers "http://127.0.0.1:$kube_etcd_port" \
		--bind-address 127.0.0.1 --secure-port "$kube_port" \
		--endpoint-reconciler-type none \
		--tls-cert-file "$pki/apiserver.crt" \
		--tls-private-key-file "$pki/apiserver.key" \
		--client-ca-file "$pki/ca.crt" \
		--kubelet-client-certificate "$pki/kubelet-client.crt" \
		--kubelet-client-key "$pki/kubelet-client.key" \
		--kubelet-preferred-address-types InternalIP \
		--authorization-mode Node,RBAC \
		--service-account-issuer https://kubernetes.default.svc \
		--service-account-key-file "$pki/sa.key" \
		--service-account-signing-key-file "$pki/sa.key" \
		--service-cluster-ip-range 10.96.0.0/16 \
		--requestheader-client-ca-file "$pki/ca.crt" \
		--requestheader-allowed-names front-proxy \
		--requestheader-username-headers $header-User \
		--requestheader-group-headers $header-Group \
		--requestheader-extra-headers-prefix $header-Extra- \
		--proxy-client-cert-file "$pki/front-proxy.crt" \
		--proxy-client-key-file "$pki/front-proxy.key"
}

# At its usual 20 requests a second the controllers take 5 s to start.
kube_controllers() {
	local pki=$stack_dir/pki conf=$stack_dir/controllers.conf
	stack_spawn controllers "$kube_bin/kube-controller-manager" \
		--kubeconfig "$conf" --leader-elect=false --secure-port 0 \
		--kube-api-qps 500 --kube-api-burst 1000 \
		--use-service-account-credentials \
		--service-account-private-key-file "$pki/sa.key" \
		--root-ca-file "$pki/ca.crt" --client-ca-file "$pki/ca.crt"
	conf=$stack_dir/scheduler.conf
	stack_spawn scheduler "$kube_bin/kube-scheduler" --kubeconfig "$conf" \
		--leader-elect=false --secure-port 0 \
		--kube-api-qps 500 --kube-api-burst 1000
}

# kube_plane: all of it, until a namespace has its service account.
kube_plane() {
	kube_pki || stack_fail "cannot make the certificates of kubernetes" ||
		return 1
	kube_etcd
	kube_apiserver
	kube_await 60 'apiserver of kubernetes' apiserver \
		kube_ctl get --raw /readyz || return 1
	kube_controllers
	kube_await "$stack_limit" 'controllers of kubernetes' controllers \
		kube_ctl get serviceaccount default
}

# kube_metrics: what `kubectl top` asks; it has numbers some 20 s later, and
# nobody waits for them here. The apiserver can't reach a service's address (no
# kube-proxy), but the host that a service is another name for.
kube_metrics() {
	local pki=$stack_dir/pki conf=$stack_dir/admin.conf
	stack_spawn metrics-server "$kube_bin/metrics-server" --kubeconfig "$conf" \
		--authentication-kubeconfig "$conf" \
		--authorization-kubeconfig "$conf" --bind-address 127.0.0.1 \
		--secure-port "$kube_metrics_port" --cert-dir "$stack_dir/metrics" \
		--kubelet-insecure-tls --kubelet-use-node-status-port \
		--kubelet-preferred-address-types InternalIP \
		--kubelet-client-certificate "$pki/kubelet-client.crt" \
		--kubelet-client-key "$pki/kubelet-client.key" \
		--metric-resolution 10s --kubelet-request-timeout 5s
	kube_ctl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: metrics-server, namespace: kube-system, port: $kube_metrics_port}
YAML
}
