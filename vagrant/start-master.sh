#!/usr/bin/env bash
# Lets the salt-master read its new configuration, starts the timer, accepts the minions and shows the
# result.  Needs root, systemd and a running master, so no test runs it: keep it small.
#
#   start-master.sh MINION...
set -euo pipefail

systemctl restart salt-master
saltbranch install systemd

accepted() {
    salt-key --no-color --list=accepted | grep --fixed-strings --line-regexp -- "$1" > /dev/null
}

# By name, never "accept all".  On a network that is not your own, compare `salt-key --finger=ID` with
# `salt-call --local key.finger` on the minion first.
for minion in "$@"; do
    echo "waiting for the key of $minion"
    for ((try = 0; try < 60; try++)); do
        salt-key --yes --accept="$minion" > /dev/null 2>&1 || true
        accepted "$minion" && break
        sleep 5
    done
    if ! accepted "$minion"; then
        echo "${0##*/}: no key of $minion arrived: is its salt-minion running, and does it know this master?" >&2
        exit 1
    fi
done

# A minion that waits for its acceptance asks every 10 seconds (acceptance_wait_time).
sleep 15
salt --timeout=30 '*' test.ping
saltbranch status
