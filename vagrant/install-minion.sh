#!/usr/bin/env bash
# Installs a salt-minion.  Its roles are grains; its saltenv is not its own business: the master decides.
# Needs root and the network, so no test runs it: keep it small.
#
#   install-minion.sh MASTER ID ROLE...
set -euo pipefail

master=${1:?the address of the master}
id=${2:?the minion id}
roles=("${@:3}")

# Written first: the package starts the minion at once.
install --directory --mode=755 /etc/salt/minion.d
{
    printf 'master: %s\nid: %s\ngrains:\n  roles:\n' "$master" "$id"
    printf '    - %s\n' "${roles[@]}"
} > /etc/salt/minion.d/vagrant.conf

export DEBIAN_FRONTEND=noninteractive
apt-get install --quiet --quiet --yes salt-minion
systemctl restart salt-minion
