"""Whether what saltbranch wrote is there, is whole, is used, and is kept up to date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from saltbranch.base.text import many, some
from saltbranch.doctor.finding import Finding
from saltbranch.git.program import GIT_MINIMUM
from saltbranch.journal.tips import Push

_OVERDUE = 24 * 3600


@dataclass(frozen=True, slots=True)
class ServedSlot:
    """What a saltenv shows. checkout: the symlink; link: where it leads, None when it is no
    symlink.

    slot: the folder served, None when the link is missing or not ours. known: git knows the slot.
    differences: files that are not those of its commit; None where that was not looked at.
    """

    saltenv: str
    branch: str
    checkout: str
    exists: bool
    link: str | None
    slot: str | None
    known: bool = True
    differences: tuple[str, ...] | None = None


def served(slots: Sequence[ServedSlot]) -> Iterator[Finding]:
    """One served slot for each saltenv, as git wrote it."""
    for slot in slots:
        if slot.slot is None:
            yield _not_served(slot)
        elif not slot.known:
            yield Finding(
                "slot-unknown",
                "warning",
                f"git does not know {slot.slot}, which {slot.saltenv} serves",
                "Nobody can tell whether its files are those of a commit.",
                "run saltbranch sync --verify, which makes it anew",
            )
        elif slot.differences:
            yield Finding(
                "slot-edited",
                "warning",
                f"{slot.saltenv} serves {many(len(slot.differences), 'file')} that its commit does not"
                f" hold so: {some(map(repr, slot.differences))} in {slot.slot}",
                why="What the minions get was never committed, and the next sync of that branch"
                " undoes it.",
                fix=f"commit to {slot.branch} what should stay, then run saltbranch sync --verify",
                items=slot.differences,
            )


def _not_served(slot: ServedSlot) -> Finding:
    if not slot.exists:
        return Finding(
            "not-served",
            "error",
            f"nothing is served for {slot.saltenv}: {slot.checkout} does not exist",
            "Its minions get nothing.",
            f"run saltbranch sync {slot.saltenv}; it says what is in the way",
        )
    what = f"a symlink to {slot.link}" if slot.link is not None else "no symlink"
    return Finding(
        "checkout-replaced",
        "error",
        f"{slot.checkout}, which {slot.saltenv} serves, is {what}",
        "It is not what saltbranch made, so what its minions get is not known.",
        f"move it away, then run saltbranch sync {slot.saltenv}",
    )


def generated_tops(
    wanted: Mapping[str, str],
    found: Mapping[str, str | None],
    links: Mapping[str, str],
    found_links: Mapping[str, str | None],
) -> Iterator[Finding]:
    """The top files that keep saltenvs apart. All by path: their text, and where symlinks lead."""
    missing = tuple(path for path in wanted if found.get(path) is None)
    if missing:
        yield Finding(
            "top-missing",
            "error",
            f"the generated top file {some(missing)} does not exist",
            why="Salt reads the branch's own top file instead, which may assign anything to any"
            " minion.",
            fix="run saltbranch sync",
            items=missing,
        )
    changed = tuple(p for p, text in wanted.items() if found.get(p) not in (None, text))
    if changed:
        yield Finding(
            "top-changed",
            "warning",
            f"the generated top file {some(changed)} is not what saltbranch writes",
            why="It decides which minions get what, and that is no longer what saltbranch.yaml says.",
            fix="run saltbranch sync",
            items=changed,
        )
    astray = tuple(path for path, target in links.items() if found_links.get(path) != target)
    if astray:
        yield Finding(
            "top-link",
            "error",
            f"{some(astray)} does not lead to the branch's own top file",
            why="The minions of that saltenv get nothing, or what another branch says.",
            fix="remove it, then run saltbranch sync",
            items=astray,
        )


def master_file(
    path: str, *, text: str | None, wanted: str, ours: bool, included: bool, master: str
) -> Iterator[Finding]:
    """The file with the roots. text: None when there is none. master: Salt's main file."""
    if text is None:
        yield Finding(
            "master-config-missing",
            "error",
            f"{path} does not exist",
            "The salt-master does not know the saltenvs.",
            "run saltbranch sync, then restart the salt-master",
        )
    elif not ours:
        yield Finding(
            "master-config-foreign",
            "error",
            f"{path} was not written by saltbranch",
            "saltbranch leaves the files of others alone, so the salt-master does not know the"
            " saltenvs.",
            "move it away, or name another file as master_config: in saltbranch.yaml; then run"
            " saltbranch sync",
        )
    elif text != wanted:
        yield Finding(
            "master-config-changed",
            "warning",
            f"{path} is not what saltbranch writes for this configuration",
            "It was edited by hand, or saltbranch.yaml was changed and not synced since.",
            "run saltbranch sync, then restart the salt-master",
        )
    if text is not None and not included:
        yield Finding(
            "master-config-unread",
            "error",
            f"{master} does not include {path}",
            "The salt-master reads master.d/*.conf in addition to its main file, and what include: names.",
            f"add it to include: in {master}, or name a file there as master_config: in"
            " saltbranch.yaml",
        )


def not_switched(config: str) -> Finding:
    """The master is set up beside what it serves. config: path of saltbranch.yaml."""
    return Finding(
        "not-switched",
        "note",
        f"the salt-master does not serve by {config} yet",
        "saltbranch adopt set everything up beside what it serves.",
        "prove that it would serve the same with: saltbranch adopt; then: saltbranch adopt --switch",
    )


def syncs(
    *, failure: str | None, last_good: float | None, now: float, timers: Sequence[str]
) -> Iterator[Finding]:
    """failure: why the last sync failed. Times in seconds since 1970. timers: what calls sync
    here.
    """
    if failure:
        yield Finding(
            "sync-failed",
            "warning",
            f"the last sync failed: {'; '.join(line.strip() for line in failure.splitlines())}",
            "What is served is older than what the remote has, or a saltenv lacks a branch.",
            "fix that, then run saltbranch sync",
        )
    if last_good is None:
        return
    if now - last_good > _OVERDUE:
        yield Finding(
            "sync-overdue",
            "warning",
            f"the last good sync was {(now - last_good) / 3600:.0f} hours ago",
            "The remote may have moved on since.",
            "run saltbranch sync" if timers else "run saltbranch sync, and see saltbranch install",
        )
    if not timers:
        yield Finding(
            "no-timer",
            "note",
            "no cron line, systemd timer or Salt schedule for saltbranch sync was found",
            "A push is served only when someone runs saltbranch sync.",
            "saltbranch install systemd (or cron, or schedule)",
        )


def unread(refs: Mapping[str, str]) -> Iterator[Finding]:
    """refs: what of the remote the last sync could not read, full ref to reason."""
    if refs:
        names = [f"{ref.removeprefix('refs/heads/')} ({why})" for ref, why in refs.items()]
        yield Finding(
            "remote-unread",
            "warning",
            f"the last sync could not read all of the remote: {some(names, 3)}",
            why="What they hold is not known here; each sync asks for them anew, and takes longer.",
            fix="fix or delete them on the remote: git push REMOTE --delete NAME",
            items=tuple(refs),
        )


def pushed_by_hand(pushes: Mapping[str, Push]) -> Iterator[Finding]:
    """pushes: saltenv to what was pushed to its branch by hand and neither accepted nor promoted since."""
    for saltenv, push in pushes.items():
        refused = push.is_refused
        yield Finding(
            "pushed-by-hand",
            "warning",
            f"{saltenv}: {push.told()}",
            why="It went past the gates, and is not served."
            if refused
            else "It went past the gates.",
            fix=f"look at it, then: saltbranch accept {saltenv} --reason TEXT (a promotion takes it up, too)",
            items=push.commits,
        )


def lfs_pointers(paths: Sequence[str]) -> Iterator[Finding]:
    """Served files that Git LFS left a pointer in place of."""
    if paths:
        yield Finding(
            "lfs-pointer",
            "warning",
            f"Git LFS pointers are served in place of files: {some(paths, 3)}",
            why="Minions that ask for these files get some lines of text.",
            fix="commit the files themselves, or let git-lfs fetch them here: git lfs install --system",
            items=tuple(paths),
        )


def unlisted_submodules(served: Sequence[tuple[str, str, str]]) -> Iterator[Finding]:
    """What is served of submodules and would be refused today. served: saltenv, path and URL of each."""
    if served:
        shown = [f"{path!r} of {saltenv} from {url}" for saltenv, path, url in served]
        yield Finding(
            "unlisted-submodules",
            "warning",
            f"served from places that submodules: no longer lists: {some(shown, 3)}",
            why="They stay as they are, and the next commit of that branch is refused.",
            fix="list the place again, or push a commit without the submodule",
            items=tuple(shown),
        )


def clock(problem: str) -> Iterator[Finding]:
    """A clock that is wrong: this machine's, or that of whoever wrote to the journal."""
    if problem:
        yield Finding(
            "clock",
            "warning",
            problem,
            "A hold with an end may end too early or too late here.",
            "let both machines keep the time of a time server (timedatectl set-ntp true)",
        )


def orphans(folders: Sequence[str]) -> Iterator[Finding]:
    """Slots, checkouts and tops of saltenvs that the configuration no longer names."""
    if folders:
        yield Finding(
            "orphans",
            "note",
            f"no saltenv of the configuration uses {some(folders)}",
            why="They take room and are never updated.",
            fix="saltbranch prune shows and removes them",
            items=tuple(folders),
        )


def damaged_mirrors(folders: Sequence[str]) -> Iterator[Finding]:
    """What a rebuilt mirror left for a look at it."""
    if folders:
        yield Finding(
            "damaged-mirror",
            "note",
            f"a damaged mirror was put aside: {some(folders)}",
            why="The disk or the memory of this machine may be failing.",
            fix="look for the cause, then remove it",
            items=tuple(folders),
        )


def restart(reason: str | None) -> Iterator[Finding]:
    """reason: why the running master must be restarted."""
    if reason:
        yield Finding(
            "restart-needed",
            "warning",
            reason,
            "A salt-master reads its configuration at its start only; salt-run already sees the"
            " new one.",
            "restart the salt-master: systemctl restart salt-master",
        )


def git_version(found: tuple[int, ...]) -> Iterator[Finding]:
    """found: empty when there is no git."""
    if found < GIT_MINIMUM:
        have = ".".join(map(str, found)) or "not there"
        yield Finding(
            "git-too-old",
            "error",
            f"git is {have}; saltbranch needs {'.'.join(map(str, GIT_MINIMUM))}",
            "Nothing can be synced with it.",
            "install a newer git (Debian 12, Ubuntu 23.04 and RHEL 9.2 have one)",
        )
