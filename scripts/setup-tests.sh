#!/bin/sh
# Installs what the tests need from the system: on Debian or Ubuntu as root by apt-get, and only what is missing.
# Elsewhere it says what is missing; the tests that need it are then skipped, or fail with REQUIRE_ENGINE=1.
set -eu

PATH=$PATH:/usr/sbin:/sbin

has() {
    command -v "$1" >/dev/null
}

is_static() {  # a busybox that runs in an otherwise empty image
    has "$1" && ! ldd "$(command -v "$1")" >/dev/null 2>&1
}

missing=""
need() {
    missing="$missing $1"
}

[ -n "${DOCKER_HOST:-}" ] || has dockerd || need docker.io
is_static busybox || need busybox-static
has mmdebstrap || need mmdebstrap
[ -e /usr/share/distro-info/debian.csv ] || need distro-info-data  # by which mmdebstrap tells Ubuntu's releases
has promtool || need prometheus
has bwrap || need bubblewrap
has systemd-analyze || need systemd
has git || need git
if grep -qs Y /sys/module/apparmor/parameters/enabled; then
    has apparmor_parser || need apparmor  # without it dockerd starts no container on such a kernel
fi
has runsc || need runsc

[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! has apt-get; then
    echo "setup: NOT INSTALLED, and tests that need it cannot run:$missing (Debian's names; as root: make test)" >&2
    exit 0
fi
echo "setup: installing Debian packages:$missing"
# shellcheck disable=SC2086  # a list of words
exec sh "$(dirname "$0")/apt-install.sh" $missing
