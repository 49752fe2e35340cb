#!/usr/bin/env bash
# Makes the Git remote of a Salt control repository: the branches develop, stage and master, all at one
# commit that holds the folders salt/ and pillar/ of SOURCE.  Needs no root.
#
#   control-repository.sh SOURCE REMOTE
#
# SOURCE  folder that holds salt/ and pillar/
# REMOTE  the bare repository to make; one that is there already is left alone
set -euo pipefail

if (($# != 2)); then
    echo "usage: ${0##*/} SOURCE REMOTE" >&2
    exit 2
fi
source_dir=$1
remote=$(realpath --canonicalize-missing -- "$2")

# A caller's GIT_DIR or GIT_INDEX_FILE (a Git hook sets them) must not decide where this writes.
for name in $(git rev-parse --local-env-vars); do
    unset "$name"
done

for folder in salt pillar; do
    if [[ ! -d $source_dir/$folder ]]; then
        echo "${0##*/}: $source_dir holds no folder $folder/" >&2
        exit 1
    fi
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

git init --quiet --initial-branch=develop -- "$build/work"
cp -R -- "$source_dir/salt" "$source_dir/pillar" "$build/work/"
find "$build/work" -name __pycache__ -prune -exec rm -rf {} +
git -C "$build/work" add --all --force
git -C "$build/work" \
    -c user.name='Salt operations' -c user.email='ops@example.com' -c commit.gpgSign=false \
    commit --quiet --no-verify --message 'Sample control repository'
git -C "$build/work" branch stage
git -C "$build/work" branch master

git init --quiet --bare --initial-branch=develop -- "$build/remote.git"
git -C "$build/work" push --quiet --atomic "$build/remote.git" develop stage master
mv -T -- "$build/remote.git" "$remote"
echo "$remote: develop, stage and master at $(git -C "$remote" rev-parse --short develop)"
