#!/bin/sh
# deps.sh GROUP...: installs the Debian packages that are missing. Groups: build,
# demo, test. Asks for sudo only when something is missing and we are not root. Must
# not start a service, nor touch what is there.
set -eu

build="gcc make pkg-config liblua5.4-dev libuv1-dev libutf8proc-dev
libssl-dev libjansson-dev zlib1g-dev libcurl4-openssl-dev libpq-dev libpg-query-dev
libreadline-dev librdkafka-dev libmimalloc-dev libc6-dev"
demo="redis-server redis-tools nginx-light openssl postgresql-15 pgbouncer
default-jre-headless maven librdkafka-dev libhiredis-dev"
test="$demo lua5.4 libcmocka-dev redis-sentinel valgrind clang
libclang-rt-14-dev cppcheck lua-check python3 python3-pexpect python3-pika hyperfine tmux
procps util-linux git docker.io docker-compose busybox-static rabbitmq-server
prometheus curl containerd runc containernetworking-plugins iproute2
patroni etcd-server python3-psycopg2 kcat"

want=""
for group in "$@"; do
	case $group in
	build) want="$want $build" ;;
	demo) want="$want $demo" ;;
	test) want="$want $test" ;;
	*) echo "deps.sh: unknown group '$group' (build, demo, test)" >&2; exit 2 ;;
	esac
done

missing=""
for package in $want; do
	state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || :)
	[ "$state" = "ii " ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "deps.sh: missing packages:$missing; no apt-get here, install what" \
		"your system calls them" >&2
	exit 1
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
	sudo=sudo
fi
echo "installing:$missing" >&2

# An installed server must not start its service: the tests start their own.
# Where a policy is set already it stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod +x $policy
	trap '$sudo rm -f $policy' EXIT INT TERM
fi
$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	--no-install-recommends -o DPkg::Lock::Timeout=300 $missing >&2
