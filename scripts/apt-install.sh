#!/bin/sh
# Installs Debian packages without starting or enabling any service of theirs. Usage, as root: apt-install.sh PACKAGE…
set -eu

policy=/usr/sbin/policy-rc.d
services="docker.service docker.socket containerd.service prometheus.service"

if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"  # 101: no service may be started
    chmod 755 "$policy"
fi

before=$(ls /etc/systemd/system/*.wants 2>/dev/null || true)
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
apt-get update -qq -o DPkg::Lock::Timeout=300 </dev/null
apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null >/dev/null

command -v systemctl >/dev/null || exit 0
for service in $services; do
    case "$before" in *"$service"*) continue ;; esac  # was there before: its owner's business
    systemctl disable --quiet "$service" 2>/dev/null || true
done
