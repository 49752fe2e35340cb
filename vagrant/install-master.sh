#!/usr/bin/env bash
# Installs the salt-master, and saltbranch into Salt's own Python.
# Needs root and the network, so no test runs it: keep it small.
#
#   install-master.sh REQUIREMENT     what pip installs: a folder, a wheel, a name
set -euo pipefail

requirement=${1:?what pip installs}

export DEBIAN_FRONTEND=noninteractive
apt-get install --quiet --quiet --yes git salt-master
/opt/saltstack/salt/salt-pip install --quiet --upgrade "$requirement"

# pip --target, which salt-pip uses, leaves console scripts out when extras-*/bin exists already.
cat > /usr/local/bin/saltbranch <<'WRAPPER'
#!/bin/sh
exec /opt/saltstack/salt/bin/python3 -I -m saltbranch "$@"
WRAPPER
chmod 755 /usr/local/bin/saltbranch
