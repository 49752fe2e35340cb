"""What a sync needs to know from configuration and Salt, in a form that costs nothing to read.

Written by serve/prepare.py after everything was checked, with the signature of each file it was
made from; a sync uses it only while all of them are still the same. Plain lines of
tab-separated words, because importing a parser would cost more than the rest of a quiet sync.
"""

from __future__ import annotations

import os

from saltbranch import __version__
from saltbranch.base import files

FORMAT = f"saltbranch {__version__} prepared 9"


class ServedSaltenv:
    """One saltenv as a sync sees it. follow: a regular expression of tags, None for the branch's head.

    verify_switch: what is compiled before it is switched, ``top`` or ``fleet``; empty for nothing. pushes: what becomes
    of a push by hand, one of config/direct_pushes.POLICIES; empty where nothing is promoted to it. drain: seconds to
    wait for state runs, 0 for none; drain_then: what happens after these, `switch` or `wait`. signed: who has to vouch
    for its commits (config/signers.py, as_text); empty where nobody has to.
    """

    __slots__ = (
        "branch", "dirname", "drain", "drain_then", "follow", "name", "protected", "pushes", "signed", "verify_switch",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        branch: str,
        dirname: str,
        *,
        protected: bool,
        follow: str | None,
        verify_switch: str = "",
        pushes: str = "",
        drain: float = 0,
        drain_then: str = "switch",
        signed: str = "",
    ) -> None:
        self.name = name
        self.branch = branch
        self.dirname = dirname
        self.protected = protected
        self.follow = follow
        self.verify_switch = verify_switch
        self.pushes = pushes
        self.drain = drain
        self.drain_then = drain_then
        self.signed = signed


class Prepared:
    """A checked configuration, reduced to what a sync uses. Times are in seconds, paths absolute.

    model: the production branch, its head when the model was read, and the object of the saltbranch.yaml that
    counts; each empty where the remote has none. problem: why a newer model
    does not count. gid: the group that may read checkouts, -1 for
    none. cachedir, socket, pidfile: the master's. reporter: the name under which this master tells the journal what
    it serves; empty where it does not. roots: see config/roots.py, of_text. composed: stands for what is composed by
    them, empty where nothing is. submodules: URLs that they may come from, separated by spaces. labs: how many, the
    branches that theirs end in, a glob of those that get one unasked, and the digest of `lab_rules`, by which they are
    judged and which are kept beside; separated by spaces, empty where there are none. vouched: `1` where commits of the
    production branch have to be vouched for, else empty. lab_signed: who has to vouch for the branches of labs, a JSON
    list of texts as in `ServedSaltenv.signed`; empty where nobody has to.
    """

    __slots__ = (
        "accepted", "boot", "cachedir", "composed", "fetch_timeout", "gid", "lab_rules", "lab_signed", "labs",
        "master_config", "model", "pidfile", "problem", "remote", "reporter", "root", "roots", "salt_config",
        "saltenvs", "signatures", "socket", "submodules", "vouched",
    )  # fmt: skip

    root: str
    remote: str
    roots: str
    composed: str
    master_config: str
    salt_config: str
    cachedir: str
    socket: str
    pidfile: str
    boot: str
    reporter: str
    problem: str
    accepted: str
    submodules: str
    labs: str
    lab_rules: str
    vouched: str
    lab_signed: str
    gid: int
    fetch_timeout: int
    model: tuple[str, str, str] | None
    saltenvs: list[ServedSaltenv]
    signatures: list[tuple[str, str]]

    @property
    def config_path(self) -> str:
        """The machine's file that it was made from."""
        return self.signatures[0][0]

    def follows_tags(self) -> bool:
        """Whether any saltenv does, so that the mirror needs the remote's tags."""
        return any(s.follow for s in self.saltenvs)

    def lab_names(self) -> list[str]:
        """The labs that the master has."""
        return [f"lab{number}" for number in range(1, int(self.labs.partition(" ")[0] or 0) + 1)]

    def branches(self) -> list[str]:
        """The branches of the remote that a sync cannot do without."""
        return [*(s.branch for s in self.saltenvs), *([self.model[0]] if self.model else [])]


def lab_folder(name: str) -> str:
    """The folder of a lab in checkouts and slots."""
    return f"{name}+"  # as config/lab_places.py


AGAIN = "look again: "
"""How a signature begins that no file has, so that the next sync prepares all of it again."""
_TEXTS = ("root", "remote", "roots", "composed", "master_config", "salt_config", "cachedir",
          "socket", "pidfile", "boot", "reporter", "problem", "accepted", "submodules", "labs",
          "vouched", "lab_signed")  # fmt: skip


def path(root: str) -> str:
    """The file that holds it."""
    return f"{root}/state/prepared"


def is_made_from(root: str, config_path: str) -> bool:
    """Whether `root` is that of the file `config_path`: what was prepared there was made from it as it is now.

    The top files, two for each saltenv, say nothing about that; whoever then has the lock looks at all of it.
    """
    lines = os.fsdecode(files.read_or_none(path(root)) or b"").split("\n")
    if lines[0] != FORMAT or lines[-1] != "end" or f"root\t{root}" not in lines:
        return False
    made_from = []
    for line in lines:
        if line.startswith("signature\t") and not line.startswith(f"signature\t{root}/tops/"):
            _, name, seen = line.split("\t")
            if files.signature(name) != seen:
                return False
            made_from.append(name)
    return config_path in made_from


def load(root: str, config_path: str, *, within: bool = False) -> Prepared | None:
    """What was prepared for `root` from the file `config_path`; None when any part of it is stale.

    within: for a sync that goes on; what only the next one is to look at again counts for nothing.
    """
    data = files.read_or_none(path(root))
    if data is None:
        return None
    lines = os.fsdecode(data).split("\n")
    if lines[0] != FORMAT or lines[-1] != "end":
        return None
    try:
        prepared = _parse(lines[1:-1], within=within)
    except (IndexError, ValueError):
        return None
    if prepared is None or prepared.root != root:
        return None
    return prepared if config_path in [name for name, _ in prepared.signatures] else None


def _parse(lines: list[str], *, within: bool) -> Prepared | None:
    prepared = Prepared()
    prepared.saltenvs = []
    prepared.signatures = []
    prepared.model = None
    prepared.lab_rules = ""
    for line in lines:
        key, *words = line.split("\t")
        if key == "signature":
            is_for_later = within and words[1].startswith(AGAIN)
            if not is_for_later and files.signature(words[0]) != words[1]:
                return None
            prepared.signatures.append((words[0], words[1]))
        elif key == "saltenv":
            prepared.saltenvs.append(_saltenv(words))
        elif key == "model":
            prepared.model = (words[0], words[1], words[2])
        elif key in ("gid", "fetch_timeout"):
            setattr(prepared, key, int(words[0]))
        elif key in _TEXTS:
            setattr(prepared, key, words[0])
    return prepared


def _saltenv(words: list[str]) -> ServedSaltenv:
    name, branch, dirname, protected, follow, verify_switch, pushes, drain, drain_then, signed = (
        words
    )
    return ServedSaltenv(
        name,
        branch,
        dirname,
        protected=protected == "1",
        follow=follow or None,
        verify_switch=verify_switch,
        pushes=pushes,
        drain=float(drain),
        drain_then=drain_then,
        signed=signed,
    )


def lab_rules_path(root: str) -> str:
    """The file that holds `Prepared.lab_rules`."""
    return f"{root}/state/lab-rules"


def save(prepared: Prepared) -> None:
    """Write it for the next sync."""
    if prepared.lab_rules:
        files.write_atomic(lab_rules_path(prepared.root), prepared.lab_rules, durable=False)
    lines = [FORMAT]
    lines += [f"{key}\t{getattr(prepared, key)}" for key in (*_TEXTS, "gid", "fetch_timeout")]
    if prepared.model:
        lines.append("model\t" + "\t".join(prepared.model))
    lines += [
        f"saltenv\t{s.name}\t{s.branch}\t{s.dirname}\t{int(s.protected)}\t{s.follow or ''}"
        f"\t{s.verify_switch}\t{s.pushes}\t{s.drain:g}\t{s.drain_then}\t{s.signed}"
        for s in prepared.saltenvs
    ]
    lines += [f"signature\t{name}\t{value}" for name, value in prepared.signatures]
    files.write_atomic(path(prepared.root), "\n".join([*lines, "end"]), durable=False)


class Served:
    """What the last finished sync left: commit, slot and time (seconds since 1970) for each saltenv.

    why: as in repository/decision.py; empty when not known. composed, submodules: as in `Prepared`, by which the
    slot was made.
    """

    __slots__ = ("commit", "composed", "since", "slot", "submodules", "why")

    def __init__(
        self,
        commit: str,
        slot: str,
        since: int,
        why: str = "",
        composed: str = "",
        *,
        submodules: str = "",
    ) -> None:
        self.commit = commit
        self.slot = slot
        self.since = since
        self.why = why
        self.composed = composed
        self.submodules = submodules


def load_served(root: str) -> dict[str, Served]:
    """By the folder name of the branch; empty when nothing was recorded or the record is torn."""
    data = files.read_or_none(f"{root}/state/served") or b""
    served = {}
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split("\t")
        if len(words) in (4, 5, 6, 7) and words[3].isdigit():
            served[words[0]] = Served(
                words[1], words[2], int(words[3]), *words[4:6], submodules="".join(words[6:])
            )
    return served


def save_served(root: str, served: dict[str, Served]) -> None:
    """Record what is served now."""
    text = "".join(
        f"{d}\t{s.commit}\t{s.slot}\t{s.since}\t{s.why}\t{s.composed}\t{s.submodules}\n"
        for d, s in sorted(served.items())
    )
    files.write_atomic(f"{root}/state/served", text, durable=False)


def load_unread(root: str) -> dict[str, str]:
    """What of the remote the last sync could not read: full ref to reason."""
    return read_unread(f"{root}/state/unread")


def read_unread(path: str) -> dict[str, str]:
    """What `keep_unread` kept at `path`."""
    data = files.read_or_none(path) or b""
    pairs = (line.partition("\t") for line in os.fsdecode(data).split("\n") if line)
    return {ref: why for ref, _, why in pairs}


def save_unread(root: str, unread: dict[str, str]) -> bool:
    """Keep it; whether it is not what was kept before."""
    return keep_unread(f"{root}/state/unread", unread)


def keep_unread(path: str, unread: dict[str, str]) -> bool:
    """Keep what could not be read in the file `path`; whether these are not the refs that were kept before."""
    text = "".join(f"{ref}\t{why}\n" for ref, why in sorted(unread.items()))
    if not text:
        files.unlink(path)
        return False
    before = read_unread(path)
    files.write_atomic(path, text, durable=False)
    return before.keys() != unread.keys()
