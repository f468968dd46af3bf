#!/usr/bin/env bash
# kube-build.sh SOURCES DIR: builds what the component kubernetes runs, once:
# DIR/kube with its names (kubectl, kubelet ...), DIR/metrics-server, and DIR/web1.tar
# and web2.tar, images of busybox. DIR/stamp says of which sources; the last thing
# written. A program of its own, so that a signal can end it. Owns DIR. Must not
# start anything.
set -euo pipefail
umask 022

sources=$1 dir=$2
version=v1.33.13 metrics=v0.9.0

stamp() {
	cat -- "$sources/main.go" "$sources/go.mod" "$sources/go.sum" "$0" | cksum
}

kube() {
	local base=k8s.io/component-base/version client=k8s.io/client-go/pkg/version
	local name
	# Without a version `kubectl version` can't read its own.
	(cd -- "$sources" && CGO_ENABLED=0 go build -mod=readonly -trimpath \
		-buildvcs=false -o "$dir/kube.new" -ldflags "-s -w \
		-X $base.gitVersion=$version -X $base.gitMajor=1 \
		-X $base.gitMinor=33 -X $client.gitVersion=$version" .)
	mv -- "$dir/kube.new" "$dir/kube"
	for name in etcd kube-apiserver kube-controller-manager kube-scheduler \
		kubelet kubectl; do
		ln -sf kube "$dir/$name"
	done
}

# A module of its own: it is built on a later Kubernetes than 1.33, and by a later
# Go. A cluster is one without it, too.
metrics_server() {
	rm -f -- "$dir/metrics-server"
	(cd / && GOBIN=$dir CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' \
		"sigs.k8s.io/metrics-server/cmd/metrics-server@$metrics") ||
		echo 'no metrics-server: kubectl top will have no numbers'
}

# image FILE VERSION REFERENCE...: a docker archive with one layer, busybox and its
# names; /etc/version and the page of its web server say VERSION.
image() {
	local file=$1 ver=$2 work root box name arch sum refs
	shift 2
	work=$(mktemp -d "$dir/image.XXXXXX")
	root=$work/root box=$(command -v busybox)
	mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,root,www}
	cp -- "$box" "$root/bin/busybox"
	for name in $("$box" --list); do
		[ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	echo "$ver" | tee "$root/etc/version" >"$root/www/index.html"
	tar -C "$root" --sort=name --numeric-owner --owner=0 --group=0 --mtime=@0 \
		-cf "$work/layer.tar" .
	sum=$(sha256sum "$work/layer.tar")
	case $(uname -m) in
	aarch64) arch=arm64 ;;
	*) arch=amd64 ;;
	esac
	printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],
		"Cmd":["sleep","2147483647"]},"rootfs":{"type":"layers",
		"diff_ids":["sha256:%s"]}}\n' "$arch" "${sum%% *}" >"$work/config.json"
	printf -v refs ',"%s"' "$@"
	printf '[{"Config":"config.json","RepoTags":[%s],"Layers":["layer.tar"]}]\n' \
		"${refs#,}" >"$work/manifest.json"
	tar -C "$work" -cf "$file" manifest.json config.json layer.tar
	rm -rf -- "$work"
}

mkdir -p -- "$dir"
exec 3>"$dir/lock"
flock 3
now=$(stamp)
[ "$(cat -- "$dir/stamp" 2>/dev/null)" != "$now" ] || exit 0
rm -f -- "$dir/stamp"
echo "building Kubernetes $version (some minutes with empty caches)"
kube
metrics_server
image "$dir/web1.tar" 1 localhost/pause:1 localhost/web:1
image "$dir/web2.tar" 2 localhost/web:2
printf '%s\n' "$now" >"$dir/stamp"
