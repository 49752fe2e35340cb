#!/usr/bin/env bash
# Makes the Git remote of a formula, state code in a repository of its own: the state banner, with the
# releases v1.0.0 and v1.1.0.  Needs no root.
#
#   formula-repository.sh REMOTE
#
# REMOTE  the bare repository to make; one that is there already is left alone
set -euo pipefail

if (($# != 1)); then
    echo "usage: ${0##*/} REMOTE" >&2
    exit 2
fi
remote=$(realpath --canonicalize-missing -- "$1")

# A caller's GIT_DIR or GIT_INDEX_FILE (a Git hook sets them) must not decide where this writes.
for name in $(git rev-parse --local-env-vars); do
    unset "$name"
done

if [[ -e $remote ]]; then
    if [[ $(git -C "$remote" rev-parse --is-bare-repository 2>/dev/null) == true ]]; then
        echo "$remote is there already: left alone"
        exit 0
    fi
    echo "${0##*/}: $remote exists and is not a bare Git repository: move it away or give another path" >&2
    exit 1
fi

# Built beside its final place and renamed at the end: there is no half-made remote.
mkdir -p -- "$(dirname -- "$remote")"
build=$(mktemp -d -- "$remote.XXXXXX")
trap 'rm -rf -- "$build"' EXIT
chmod 755 -- "$build"

git init --quiet --initial-branch=main -- "$build/work"
mkdir -- "$build/work/banner"
for release in v1.0.0 v1.1.0; do
    cat > "$build/work/banner/init.sls" <<SLS
# What whoever logs in is shown first.
banner:
  file.managed:
    - name: /etc/issue
    - contents: 'banner $release on {{ grains['id'] }}'
SLS
    git -C "$build/work" add --all
    git -C "$build/work" \
        -c user.name='Formula maintainers' -c user.email='formulas@example.com' -c commit.gpgSign=false \
        commit --quiet --no-verify --message "banner $release"
    git -C "$build/work" tag --no-sign "$release"
done

git init --quiet --bare --initial-branch=main -- "$build/remote.git"
git -C "$build/work" push --quiet --atomic "$build/remote.git" main v1.0.0 v1.1.0
mv -T -- "$build/remote.git" "$remote"
echo "$remote: releases v1.0.0 and v1.1.0"
