#!/usr/bin/env bash
# kafka-fetch.sh POM DIR: has Maven fetch what the components kafka and kafka-ha run,
# once: DIR/libs, the jars of POM and all that they need. DIR/stamp says of which POM;
# the last thing written, and with it nothing is asked again. Maven is told its own
# registry by its user's settings alone. A program of its own, so that a signal can
# end it. Owns DIR. Must not start anything.
set -euo pipefail
umask 022

pom=$1 dir=$2

mkdir -p -- "$dir"
exec 3>"$dir/lock"
flock 3
now=$(cat -- "$pom" "$0" | cksum)
[ "$(cat -- "$dir/stamp" 2>/dev/null)" != "$now" ] || exit 0
command -v mvn >/dev/null || {
	echo "cannot find 'mvn': install Maven, it fetches the jars of Kafka" >&2
	exit 1
}
echo 'fetching the jars of Kafka (some 60 MB, once)'
rm -rf -- "$dir/stamp" "$dir/libs" "$dir/libs.new"
mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies \
	-DoutputDirectory="$dir/libs.new"
ls -- "$dir"/libs.new/kafka_*.jar >/dev/null
mv -- "$dir/libs.new" "$dir/libs"
printf '%s\n' "$now" >"$dir/stamp"
