#!/bin/sh
# Stands in for git on the PATH of a sync. The FAULT_AT-th call goes wrong as FAULT says, all others are git's.
count=$(($(cat "$FAULT_COUNTER") + 1))
echo "$count" >"$FAULT_COUNTER"
[ "$count" = "$FAULT_AT" ] || exec "$FAULT_REAL_GIT" "$@"

folder=
[ "$1" != -C ] || folder=$2

case $FAULT in
parent) # saltbranch dies, git goes on alone
    kill -9 "$PPID"
    exec "$FAULT_REAL_GIT" "$@"
    ;;
both)
    kill -9 "$PPID"
    ;;
git)
    kill -9 $$
    ;;
torn) # both die in the middle of a checkout: locks, half a file, files missing, strange files
    kill -9 "$PPID"
    if [ -n "$folder" ]; then
        gitdir=$(sed 's/^gitdir: //' "$folder/.git")
        head -c 50 "$gitdir/index" >"$gitdir/index.lock"
        touch "$gitdir/HEAD.lock"
        printf half >"$folder/salt/top.sls.tmp" && mv "$folder/salt/top.sls.tmp" "$folder/salt/top.sls"
        rm -rf "$folder/pillar"
        mkdir -p "$folder/salt/strange" && echo strange >"$folder/salt/strange/init.sls"
    fi
    ;;
lock) # git is done, but saltbranch is not told
    "$FAULT_REAL_GIT" "$@"
    kill -9 "$PPID"
    ;;
sleep) # saltbranch dies, git takes its time
    kill -9 "$PPID"
    sleep 2
    exec "$FAULT_REAL_GIT" "$@"
    ;;
esac
