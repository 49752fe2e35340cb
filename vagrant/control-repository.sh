#!/usr/bin/env bash
# Makes the Git remote of a Salt control repository: the branches develop, stage and master, all at one
# commit that holds the folders salt/ and pillar/ of SOURCE, and pins a formula.  Needs no root.
#
#   control-repository.sh SOURCE REMOTE [FORMULA]
#
# SOURCE   folder that holds salt/ and pillar/
# REMOTE   the bare repository to make; one that is there already is left alone
# FORMULA  what formula-repository.sh made: its v1.0.0 is pinned, and every minion gets its state
set -euo pipefail

if (($# < 2 || $# > 3)); then
    echo "usage: ${0##*/} SOURCE REMOTE [FORMULA]" >&2
    exit 2
fi
source_dir=$1
remote=$(realpath --canonicalize-missing -- "$2")
formula=${3:+$(realpath --canonicalize-existing -- "$3")}

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
if [[ -n $formula ]]; then
    # What `saltbranch formula add` and the link after it do.  The URL is relative to the remote's own, so
    # it is right wherever both are moved to.
    url=$(realpath --canonicalize-missing --relative-to="$remote" -- "$formula")
    [[ $url == ../* ]] || url=./$url
    pin=$(git -C "$formula" rev-parse --verify 'refs/tags/v1.0.0^{commit}')
    git -C "$build/work" update-index --add --cacheinfo "160000,$pin,formulas/banner"
    git config --file "$build/work/.gitmodules" submodule.formulas/banner.path formulas/banner
    git config --file "$build/work/.gitmodules" submodule.formulas/banner.url "$url"
    mkdir -p -- "$build/work/formulas/banner"
    ln -s ../formulas/banner/banner "$build/work/salt/banner"
    sed --in-place '0,/^    - common$/s//&\n    - banner/' "$build/work/salt/top.sls"
fi
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
