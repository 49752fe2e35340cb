#!/bin/sh
# Stands in for git on the PATH of a sync. One call goes wrong as FAULT says, all others are git's: the one
# whose number is FAULT_AT, or every one of that verb.
count=$(($(cat "$FAULT_COUNTER") + 1))
echo "$count" >"$FAULT_COUNTER"
case " $count $* " in
*" $FAULT_AT "*) ;;
*) exec "$FAULT_REAL_GIT" "$@" ;;
esac

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
done) # git is done, but saltbranch is not told
    "$FAULT_REAL_GIT" "$@"
    kill -9 "$PPID"
    ;;
orphan) # saltbranch dies, git goes on alone and takes its time
    kill -9 "$PPID"
    sleep 1.5
    exec "$FAULT_REAL_GIT" "$@"
    ;;
slow)
    sleep 1.5
    exec "$FAULT_REAL_GIT" "$@"
    ;;
esac
