"""changelog: what a saltenv got between two commits, grouped by ticket or feature."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.actions.shared.caller import Opener
from saltbranch.base import tickets
from saltbranch.base.durations import iso
from saltbranch.base.errors import UsageError
from saltbranch.base.markdown import escape
from saltbranch.base.tickets import CommitLine, Group
from saltbranch.config.model import Saltenv
from saltbranch.history import commits
from saltbranch.history.pins import FormulaChange
from saltbranch.journal.facts import Promotion
from saltbranch.repository import timeline
from saltbranch.repository.formulas import formulas_of
from saltbranch.repository.revision import PROMOTION
from saltbranch.repository.workplace import Workplace

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Changelog:
    """old, new: commits; old_name and new_name: what people call them. removed: commits that `new` lacks again.
    formulas: pins that moved.

    promotion: the one that it is about, None for two commits.
    """

    saltenv: str
    old: str
    new: str
    old_name: str
    new_name: str
    time: float
    groups: tuple[Group, ...]
    removed: tuple[CommitLine, ...]
    promotion: Promotion | None = None
    formulas: tuple[FormulaChange, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "saltenv": self.saltenv,
            "from": self.old,
            "to": self.new,
            "promotion": self.promotion.as_dict() if self.promotion else None,
            "groups": [g.as_dict() for g in self.groups],
            "removed": [c.as_dict() for c in self.removed],
            "formulas": [f.as_dict() for f in self.formulas],
        }

    def markdown(self) -> str:
        """The text, with what strangers wrote escaped."""
        tag = self.promotion.tag if self.promotion else ""
        name = escape(tag or self.new_name)
        lines = [f"## {self.saltenv}: {name} ({iso(self.time)[:10]})", ""]
        lines += [f"Since {escape(self.old_name)}.", ""]
        for group in self.groups:
            lines += [f"### {escape(group.name) or 'Other'}", "", *map(_line, group.commits), ""]
        if not self.groups:
            lines += ["No changes.", ""]
        if self.formulas:
            lines += ["### Formulas", ""]
            lines += [line for formula in self.formulas for line in _formula(formula)]
            lines.append("")
        if self.removed:
            lines += ["### Not there any more", "", *map(_line, self.removed), ""]
        return "\n".join(lines)


def _line(commit: CommitLine) -> str:
    subject = escape(commit.subject) or "(no subject)"
    return f"- {subject} ({escape(commit.author)}, `{commit.commit[:_SHORT]}`)"


def _formula(change: FormulaChange) -> list[str]:
    lines = [f"- {escape(change.text)}"]
    lines += [
        f"  - {escape(c.subject) or '(no subject)'} ({escape(c.author)}, `{c.commit[:_SHORT]}`)"
        for c in change.commits
    ]
    more = change.count - len(change.commits)
    return [*lines, *([f"  - and {more} more"] if change.commits and more > 0 else [])]


def tell(
    opener: Opener,
    saltenv: str,
    *,
    old: str | None = None,
    new: str | None = None,
    fetch: bool = True,
) -> tuple[Workplace, Changelog]:
    """`changelog` in what `opener` opens, the remote read unless `fetch` is False. Raises SaltbranchError."""
    work = opener.open(fetch=fetch)
    return work, changelog(work, saltenv, old=old, new=new)


def changelog(
    work: Workplace, saltenv: str, *, old: str | None = None, new: str | None = None
) -> Changelog:
    """What `saltenv` got from `old` to `new`: commits, branches, tags or promotions.

    Without both: by its last promotion. `new` alone: by the promotion that brought it. `old` alone: up to the head of
    its branch. A promotion stands for what it made of the branch. Raises UsageError, ConfigError, GitError.
    """
    found = work.config.saltenv(saltenv)
    if old:
        begin = timeline.commit_of(work, old, option="--from").commit
        head = f"heads/{found.branch}"
        end = timeline.commit_of(work, new or head, option="--to" if new else "").commit
        names = (_name(old, begin), _name(new or found.branch, end))
        return _between(work, found, (begin, end), names, promotion=None)
    promotion = _promotion(work, found, new)
    commit = timeline.commit_of(work, new, option="--to").commit if new else promotion.new
    names = (promotion.old[:_SHORT], _name(new or promotion.id, commit))
    whole = promotion if commit == promotion.new else None
    return _between(work, found, (promotion.old, commit), names, promotion=whole)


def _name(word: str, commit: str) -> str:
    return commit[:_SHORT] if commit.startswith(word.lower()) else word


def _promotion(work: Workplace, saltenv: Saltenv, new: str | None) -> Promotion:
    """The last one to `saltenv`, or the one that brought `new`. Raises UsageError."""
    if new:
        meant = timeline.commit_of(work, new, option="--to")
        looked = timeline.Past(work)
        named = [p for p in looked.promotions() if p.id == new or p.id.startswith(new)]
        exact = next((p for p in named if p.id == new), named[0] if named else None)
        found = exact if meant.kind == PROMOTION else looked.through(saltenv, meant.commit)
    else:
        mine = [p for p in timeline.promotions(work) if p.saltenv == saltenv.name]
        found = mine[-1] if mine else None
    if found is None:
        what = (
            f"no promotion brought {new} to {saltenv.name}"
            if new
            else f"nothing was promoted to {saltenv.name} yet"
        )
        raise UsageError(what, hint="name where to begin: --from COMMIT, a tag or a promotion")
    return found


def _between(
    work: Workplace,
    saltenv: Saltenv,
    ends: tuple[str, str],
    names: tuple[str, str],
    *,
    promotion: Promotion | None,
) -> Changelog:
    old, new = ends
    brought = commits.log(work.git, work.pattern, "--topo-order", revisions=[new, f"^{old}"])
    removed = commits.log(
        work.git, work.pattern, "--topo-order", "--no-merges", revisions=[old, f"^{new}"]
    )
    end = commits.told(work.git, work.pattern, [new])[new]
    return Changelog(
        saltenv.name,
        old,
        new,
        *names,
        time=promotion.time if promotion else end.time,
        groups=tickets.group(c.line for c in brought.values()),
        removed=tuple(c.line for c in removed.values()),
        promotion=promotion,
        formulas=formulas_of(work).changes(old, new),
    )
