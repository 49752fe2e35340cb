"""What each master serves by what it told the journal, beside what it is to serve: which lags, how far, since when.

A master tells only of switches (`record_syncs`). So its silence means nothing as long as there was nothing new for it;
where there was, and for a week it has neither served that nor told of anything else, nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from saltbranch.base import files
from saltbranch.base.durations import iso
from saltbranch.config.model import Config, Saltenv
from saltbranch.journal import masters
from saltbranch.repository import prepared
from saltbranch.repository.workplace import Workplace

SILENT = 7 * 86400  # seconds
_SLACK = 300  # seconds by which clocks may differ without a word
_MOST_COMMITS = (
    100  # that are compared, of one saltenv: masters are made up faster than git compares
)

ServedState = Literal["in_step", "behind", "ahead", "diverged", "unknown"]
MasterState = Literal["in_step", "behind", "silent"]


@dataclass(frozen=True, slots=True)
class ServedThere:
    """What a master serves as one saltenv. Times: seconds since 1970.

    since: as the master told it. lacks, beyond: commits of `wanted` that it lacks, and its own that `wanted` lacks;
    None where the commit is not here. behind_since: since when it could have served `wanted`.
    """

    saltenv: str
    commit: str
    since: float
    wanted: str | None
    state: ServedState
    lacks: int | None = None
    beyond: int | None = None
    behind_since: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        late = None if self.behind_since is None else iso(self.behind_since)
        return {**asdict(self), "since": iso(self.since), "behind_since": late}


@dataclass(frozen=True, slots=True)
class Master:
    """One master, as it told of itself. root: tells it from others of its name. recorded: when it told last, by its
    own clock; clock_ahead: that time has not come yet. shared: another root tells under this name, too.
    is_here: the master that is asked; what it serves was looked at here.
    """

    master: str
    root: str
    state: MasterState
    recorded: float
    clock_ahead: bool
    shared: bool
    is_here: bool
    saltenvs: tuple[ServedThere, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.master} (root {self.root or 'unknown'})" if self.shared else self.master

    @property
    def behind_since(self) -> float | None:
        """Since when it lags in any saltenv."""
        return min((s.behind_since for s in self.saltenvs if s.behind_since), default=None)

    def serves(self, saltenv: str) -> ServedThere | None:
        """What it serves as `saltenv`, None where it does not."""
        return next((s for s in self.saltenvs if s.saltenv == saltenv), None)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "master": self.master,
            "root": self.root or None,
            "state": self.state,
            "recorded": iso(self.recorded),
            "clock_ahead": self.clock_ahead,
            "shared": self.shared,
            "here": self.is_here,
            "saltenvs": [s.as_dict() for s in self.saltenvs],
        }


def masters_of(work: Workplace, now: float) -> tuple[Master, ...]:
    """All masters that tell the journal, by their names; of saltenvs that the model does not have nothing is said.

    now: seconds since 1970. Raises GitError.
    """
    compared = _Compared(work, now)
    told = list(masters.live(work.state.masters))
    names = [name for name, _, _ in told]
    here, served = _here(work)
    found = []
    for name, root, what in told:
        is_here = (name, root) == here
        rows = {**what.serves, **(served if is_here else {})}
        saltenvs = tuple(
            compared.row(s, *rows[s.name]) for s in _saltenvs(work.config) if s.name in rows
        )
        ahead = what.told - now > _SLACK
        found.append(
            Master(
                master=name,
                root=root,
                state=_state(saltenvs, None if ahead else what.told, now, is_here=is_here),
                recorded=min(what.told, now),
                clock_ahead=ahead,
                shared=names.count(name) > 1,
                is_here=is_here,
                saltenvs=saltenvs,
            )
        )
    return tuple(found)


def _state(
    saltenvs: Sequence[ServedThere], recorded: float | None, now: float, *, is_here: bool
) -> MasterState:
    """recorded: None where the master's clock says nothing."""
    if all(s.state == "in_step" for s in saltenvs):
        return "in_step"
    is_quiet = recorded is None or now - recorded > SILENT
    late = [s.behind_since for s in saltenvs if s.state != "in_step"]
    unknown = any(s.state == "unknown" for s in saltenvs)
    is_late = unknown or any(since is not None and now - since > SILENT for since in late)
    return "silent" if is_quiet and is_late and not is_here else "behind"


def _here(work: Workplace) -> tuple[tuple[str, str], Mapping[str, tuple[str, float]]]:
    """Under which name and root this machine tells, and what it really serves; empty on one that serves nothing."""
    if not work.serves:
        return ("", ""), {}
    root = work.config.root
    served = prepared.load_served(root)
    found = {
        s.name: (record.commit, float(record.since))
        for s in work.config.saltenvs
        if (record := served.get(s.dirname))
    }
    return known_as(root), found


def known_as(root: str) -> tuple[str, str]:
    """The name under which the master of `root` tells, and what tells that root from others; empty where it does not.

    serve/report.py keeps it.
    """
    text = (files.read_or_none(f"{root}/state/reporter") or b"").decode("utf-8", "replace")
    name, _, rest = text.partition("\n")
    return name, rest.partition("\n")[0].removeprefix("root ")


def _saltenvs(config: Config) -> tuple[Saltenv, ...]:
    return (*config.saltenvs, *config.elsewhere)


class _Compared:
    """Commits that are served, compared with what is to be served, each once."""

    def __init__(self, work: Workplace, now: float) -> None:
        self.work = work
        self.now = now
        self._wanted: dict[str, str | None] = {}
        self._known: dict[str, dict[str, tuple[ServedState, int | None, int | None, float | None]]]
        self._known = {}

    def row(self, which: Saltenv, commit: str, since: float) -> ServedThere:
        """What a master that serves `commit` since `since` has to do. Raises GitError."""
        saltenv = which.name
        if saltenv not in self._wanted:
            is_unread = self.work.is_unread(which.branch)
            self._wanted[saltenv] = None if is_unread else self.work.wanted(which).commit
        wanted, known = self._wanted[saltenv], self._known.setdefault(saltenv, {})
        if commit == wanted:
            return ServedThere(saltenv, commit, since, wanted, "in_step")
        if commit not in known:
            full = len(known) >= _MOST_COMMITS
            known[commit] = (
                _UNKNOWN if full or not wanted else self._compare(saltenv, commit, wanted)
            )
        state, lacks, beyond, late = known[commit]
        if late is not None:
            # It cannot lag for longer than it serves this; a clock that is fast says nothing.
            late = min(max(late, since if since <= self.now else 0), self.now)
        return ServedThere(
            saltenv,
            commit,
            since,
            wanted,
            state,
            lacks=lacks,
            beyond=beyond,
            behind_since=late,
        )

    def _compare(
        self, saltenv: str, commit: str, wanted: str
    ) -> tuple[ServedState, int | None, int | None, float | None]:
        git, state = self.work.git, self.work.state
        if git.commit_or_none(commit) is None or git.commit_or_none(wanted) is None:
            return _UNKNOWN
        words = ("rev-list", "--left-right", "--count", "--end-of-options")
        left, right = git.out(*words, f"{commit}...{wanted}", "--").split()
        beyond, lacks = int(left), int(right)
        found: ServedState = "diverged" if beyond and lacks else "behind" if lacks else "ahead"
        hold = state.hold(saltenv, self.now)
        if hold:
            return found, lacks, beyond, hold.since
        if not lacks:
            return found, lacks, beyond, None
        spans = ("rev-list", "--end-of-options", wanted, f"^{commit}", "--")
        missing = set(git.out(*spans).split())
        came = [p.time for p in state.promotions_to(saltenv) if p.new in missing]
        if came:
            return found, lacks, beyond, came[0]
        line = ("log", "--first-parent", "--format=%ct", "--end-of-options", wanted, f"^{commit}")
        dates = git.out(*line, "--").split()
        return found, lacks, beyond, float(dates[-1]) if dates else None


_UNKNOWN: tuple[ServedState, None, None, None] = ("unknown", None, None, None)
