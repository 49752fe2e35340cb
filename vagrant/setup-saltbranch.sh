#!/usr/bin/env bash
# Sets saltbranch up on a salt-master: configuration, mirror, checkouts, top files and the master's own
# configuration, then the first sync.  Safe to run again.  Needs no root if the paths do not.
#
# From the environment:
#   SALTBRANCH                the command                         saltbranch
#   SALTBRANCH_REMOTE         URL of the control repository       /srv/git/salt.git
#   SALTBRANCH_SUBMODULES     where formulas may come from        /srv/git/formulas
#   SALTBRANCH_CONFIG         saltbranch.yaml                     /etc/salt/saltbranch.yaml
#   SALTBRANCH_ROOT           mirror, slots, checkouts, tops      /srv/saltbranch
#   SALTBRANCH_MASTER_CONFIG  what is written for the salt-master /etc/salt/master.d/saltbranch.conf
#   SALTBRANCH_SALT_CONFIG    the salt-master's own file          /etc/salt/master
set -euo pipefail

saltbranch=${SALTBRANCH:-saltbranch}
# Every verb reads this variable.
export SALTBRANCH_CONFIG=${SALTBRANCH_CONFIG:-/etc/salt/saltbranch.yaml}

"$saltbranch" init --yes \
    --config "$SALTBRANCH_CONFIG" \
    --remote "${SALTBRANCH_REMOTE:-/srv/git/salt.git}" \
    --root "${SALTBRANCH_ROOT:-/srv/saltbranch}" \
    --master-config "${SALTBRANCH_MASTER_CONFIG:-/etc/salt/master.d/saltbranch.conf}" \
    --salt-config "${SALTBRANCH_SALT_CONFIG:-/etc/salt/master}"
# A branch may pin any URL, and a master fetches with its own key: so it lists where from.
if ! grep --quiet '^submodules:' "$SALTBRANCH_CONFIG"; then
    printf '\nsubmodules:\n  - "%s"\n' "${SALTBRANCH_SUBMODULES:-/srv/git/formulas}" >> "$SALTBRANCH_CONFIG"
fi
"$saltbranch" sync
