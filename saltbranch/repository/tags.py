"""The tags on a branch: one reader for syncs, promotions and looks, so that all of them see the same."""

from __future__ import annotations

from saltbranch.git.program import Git

_FORM = "%(objectname) %(*objectname) %(*objecttype) %(refname)"


def tags_on(git: Git, head: str, *below: str) -> dict[str, str]:
    """The tags that name `head` or a commit before it: name to commit. Raises GitError.

    below: beginnings of refs, as ``refs/tags/``; of two tags of one name the one of the later beginning counts.
    """
    found = {}
    for prefix in below:
        listed = git.out("for-each-ref", f"--format={_FORM}", f"--merged={head}", prefix)
        for line in listed.split("\n"):  # a name may hold what else splitlines() splits at
            oid, _, rest = line.partition(" ")
            peeled, _, rest = rest.partition(" ")
            kind, _, ref = rest.partition(" ")
            if kind == "tag":  # a tag of a tag: git before 2.45 peels it once
                peeled = git.commit_or_none(ref) or oid
            if ref:
                found[ref[len(prefix) :]] = peeled or oid
    return found
