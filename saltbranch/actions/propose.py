"""Put a model before people: a saltbranch.yaml on a branch of its own, to be reviewed and merged."""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.base.errors import os_error
from saltbranch.config import locate
from saltbranch.git import identity
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import failed, mask

BRANCH = "saltbranch/model"
_PATIENCE = 300  # seconds
_MESSAGE = """\
Add the model of saltbranch

saltbranch.yaml says which branch is which saltenv, whose minions these are, and
which gates a promotion passes. It counts once it is on the production branch.
"""


def commit(
    mirror: Mirror, text: str, *, remote: str, production: str, branch: str, config_path: str
) -> list[str]:
    """Commit `text` as saltbranch.yaml on top of the commit `production` of `branch`, and push it as `BRANCH`.

    Where this user may not push, the text is written beside the configuration. Returns what a person has to do.
    Raises GitError, SaltbranchError.
    """
    git = mirror.git
    merge = f"Merge it into {branch}: the saltenvs count from then on, for clones and other masters as well"
    if BRANCH in mirror.branches():
        return [f"Review the branch {BRANCH}, which is there already. {merge}."]
    blob = git.out("hash-object", "-w", "--stdin", stdin=text.encode()).strip()
    listed = git.run("ls-tree", "-z", production)
    if listed.code != 0:
        raise failed(listed, git.directory)
    entry = f"100644 blob {blob}\t{locate.FILE_NAME}\0".encode()
    tree = git.out("mktree", "-z", stdin=listed.out + entry).strip()
    words = ("commit-tree", "-p", production, "-F", "-", tree)
    new = git.out(*words, config=identity.identity(git), stdin=_MESSAGE.encode()).strip()
    push = (
        "push",
        "--porcelain",
        "--quiet",
        "--no-follow-tags",
        f"--force-with-lease=refs/heads/{BRANCH}:",
    )
    done = git.run(*push, "--", remote, f"{new}:refs/heads/{BRANCH}", timeout=_PATIENCE)
    if done.code == 0:
        return [f"Review the branch {BRANCH}, which adds {locate.FILE_NAME}. {merge}."]
    path = f"{os.path.dirname(config_path)}/saltbranch-model.yaml"
    try:
        files.write_atomic(path, text, mode=0o640)
    except OSError as err:
        raise os_error(err) from err
    why = mask(done.complaint).splitlines()
    reason = f" ({why[0]})" if why else ""
    return [
        f"The branch {BRANCH} could not be pushed{reason}: commit {path} as {locate.FILE_NAME} to a branch. {merge}."
    ]
