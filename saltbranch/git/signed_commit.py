"""Commits as they stand in the object database, with what of them is signed. Whoever may push chose every byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saltbranch.base.errors import GitError
from saltbranch.git.program import Git, failed

_LARGEST = 1_000_000  # bytes of a commit that is read


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """A commit. author, subject: as they are written. payload: what is signed; signature: armoured, empty for none.

    problem: why neither its signature nor its parents are believed.
    """

    id: str
    tree: str = ""
    parents: tuple[str, ...] = ()
    author: str = ""
    subject: str = ""
    payload: bytes = b""
    signature: str = ""
    problem: str = ""


def read(git: Git, commits: Sequence[str]) -> dict[str, SignedCommit]:
    """Each of `commits`, which are full hashes, by its hash. Raises GitError where one is not there."""
    names = "".join(f"{name}\n" for name in commits).encode()
    sizes = git.out("cat-file", "--batch-check=%(objectsize)", stdin=names).split("\n")
    found = {
        name: SignedCommit(name, problem=f"it is larger than {_LARGEST} bytes")
        for name, size in zip(commits, sizes, strict=False)
        if size.isdigit() and int(size) > _LARGEST
    }
    wanted = [name for name in commits if name not in found]
    if not wanted:
        return found
    stdin = "".join(f"{name}\n" for name in wanted).encode()
    done = git.run("cat-file", "--batch", stdin=stdin)
    if done.code != 0:
        raise failed(done, git.directory)
    data, at = done.out, 0
    for name in wanted:
        head = data[at : data.index(b"\n", at)].decode("ascii", "replace").split()
        if len(head) != 3 or head[0] != name or head[1] != "commit":
            raise GitError(
                f"{git.directory}: {name} is not a commit that is there",
                hint="git fsck says what else the repository lacks",
            )
        start = data.index(b"\n", at) + 1
        end = start + int(head[2])
        found[name] = parse(name, data[start:end])
        at = end + 1
    return found


def parse(name: str, data: bytes) -> SignedCommit:
    """The commit `name` whose object is `data`.

    As git makes it: tree, parents, author and committer, and only then anything else. git itself also takes others, of
    which what is signed could be read in two ways.
    """
    header, found_end, message = data.partition(b"\n\n")
    lines = header.split(b"\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    signatures, in_signature = 0, False
    for line in lines:
        if line.startswith(b"gpgsig"):
            signatures += 1
            in_signature = line.startswith(b"gpgsig ")
            signature.append(line[7:])
        elif in_signature and line.startswith(b" "):
            signature.append(line[1:])
        else:
            in_signature = False
            kept.append(line)
    parents = tuple(_text(line[7:]) for line in lines if line.startswith(b"parent "))
    kinds = [line.partition(b" ")[0] for line in lines[: len(parents) + 3]]
    well_made = kinds == [b"tree", *[b"parent"] * len(parents), b"author", b"committer"]
    problem = "" if well_made and found_end else "it is not as git makes commits"
    if signatures > 1:
        problem = "it has more than one signature"
    return SignedCommit(
        name,
        tree=_text(lines[0][5:]),
        parents=parents,
        author=next((_person(line[7:]) for line in lines if line.startswith(b"author ")), ""),
        subject=_text(message.split(b"\n", 1)[0]),
        payload=b"\n".join(kept) + b"\n\n" + message,
        signature=_text(b"\n".join(signature) + b"\n") if signatures else "",
        problem=problem,
    )


def _person(line: bytes) -> str:
    """Name and address, without the time."""
    return _text(line).rpartition(" ")[0].rpartition(" ")[0]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
