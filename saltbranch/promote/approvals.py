"""The gate `approvals`: people who signed the digest of exactly this plan, and none who wrote what it brings."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from saltbranch.base.durations import iso
from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.base.ssh_keys import signing_key
from saltbranch.base.text import many
from saltbranch.config.gates import ApprovalsGate
from saltbranch.config.signers import Signers
from saltbranch.git import identity, ssh_signature
from saltbranch.git.program import Git
from saltbranch.git.ssh_signature import Vouched
from saltbranch.journal.approvals import Approval, signed_text
from saltbranch.promote.gates import CANNOT_TELL, FAIL, PASS, GateResult
from saltbranch.promote.plan import Plan
from saltbranch.repository import signers
from saltbranch.repository.workplace import Workplace

_PROMOTER = re.compile(r"\s*(?:Promoted-By|Asked-By|Claimed-By): (.*)")
_ADDRESS = re.compile(r"<([^<>]*)>")


@dataclass(frozen=True, slots=True)
class People:
    """Who made what a plan brings: names and addresses in lower case, and fingerprints of the keys that signed it."""

    names: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def has(self, who: Vouched) -> bool:
        """Whether it is one of them, by the key or by any name; a principal may be a pattern (ssh_config(5))."""
        patterns = [p.lower().replace("[", "[[]") for p in who.principals]
        named = any(fnmatch.fnmatchcase(name, p) for name in self.names for p in patterns)
        return named or who.fingerprint in self.keys


@dataclass(frozen=True, slots=True)
class Judged:
    """An approval of a plan. why_not: why it does not count; empty where it does."""

    approval: Approval
    who: Vouched | None
    why_not: str = ""

    @property
    def name(self) -> str:
        """Whose it is by the file of signers, else as it says itself."""
        return ", ".join(sorted(self.who.principals)) if self.who else self.approval.by


@dataclass(frozen=True, slots=True)
class Approvals:
    """All that the journal has for one plan. problem: why they cannot be judged."""

    rows: tuple[Judged, ...] = ()
    problem: str = ""

    @property
    def persons(self) -> list[Vouched]:
        """Those that count: keys of one principal are one person, and principals of one key are."""
        return together(who for who, _ in self._counted())

    def since(self, person: Vouched) -> float:
        """When somebody of `persons` approved first, as the journal has it, in seconds since 1970."""
        counted = self._counted()
        return min(
            at for who, at in counted if {p.lower() for p in who.principals} & person.principals
        )

    def _counted(self) -> list[tuple[Vouched, float]]:
        return [(r.who, r.approval.time) for r in self.rows if r.who and not r.why_not]


def together(found: Iterable[Vouched]) -> list[Vouched]:
    """Each person once."""
    persons: list[tuple[set[str], set[str]]] = []
    for who in found:
        mine = ({p.lower() for p in who.principals}, {who.fingerprint})
        for other in [p for p in persons if p[0] & mine[0] or p[1] & mine[1]]:
            persons.remove(other)
            mine = (mine[0] | other[0], mine[1] | other[1])
        persons.append(mine)
    return [Vouched(frozenset(names), min(keys)) for names, keys in persons]


def approvals_gate(gate: ApprovalsGate, found: Approvals, saltenv: str, digest: str) -> GateResult:
    """Whether as many people agreed as `gate` asks for. digest: of the plan, all of it."""
    if found.problem:
        return GateResult("approvals", CANNOT_TELL, found.problem)
    persons = found.persons
    rows = ((", ".join(sorted(p.principals)), iso(found.since(p))) for p in persons)
    names = "; ".join(f"{who} ({when})" for who, when in sorted(rows))
    said = f"{len(persons)} of {gate.count}" + (f": {names}" if names else "")
    if len(persons) >= gate.count:
        return GateResult("approvals", PASS, said)
    void = [f"not counted: {r.name} ({r.why_not})" for r in found.rows if r.why_not][:5]
    how = f"saltbranch approve {saltenv} --expect {digest}"
    return GateResult("approvals", FAIL, "; ".join([said, *void, how]))


@dataclass(slots=True)
class Judge:
    """Judges approvals of one plan. signers: lines of allowed signers; people: made what it brings.

    Only what names a key of theirs costs a process: whoever may push to the journal can write many that do not.
    """

    gate: ApprovalsGate
    saltenv: str
    digest: str
    signers: str
    people: People = field(default_factory=People)

    def judge(self, approval: Approval) -> Judged:
        """Whether `approval` counts, now. Raises SaltbranchError where that cannot be told."""
        text = signed_text(approval.id, self.saltenv, self.digest)
        who = ssh_signature.verify(text, approval.signature, self.signers)
        if who is None:
            return Judged(approval, None, "no valid signature by an allowed signer")
        if self.gate.not_author and self.people.has(who):
            return Judged(approval, who, "made or promoted a commit of it")
        return Judged(approval, who)

    def enough(self, told: Sequence[Approval]) -> Approvals:
        """The newest of `told`, the oldest first, that are enough for the gate, each key once; else all of them."""
        rows: list[Judged] = []
        for approval in reversed(told):
            key = signing_key(approval.signature)
            if any(row.who and row.who.fingerprint == key for row in rows):
                continue  # that person is counted, or left out, already
            rows.insert(0, self.judge(approval))
            if len(Approvals(tuple(rows)).persons) >= self.gate.count:
                break
        return Approvals(tuple(rows))


def judge_of(work: Workplace, gate: ApprovalsGate, plan: Plan) -> Judge:
    """Who judges approvals of `plan`. Raises SaltbranchError where the signers are not known."""
    signers = signers_of(work, gate)
    people = _people(work, plan) if gate.not_author else People()
    return Judge(gate, plan.saltenv, plan.whole_digest, signers, people)


def find(work: Workplace, gate: ApprovalsGate, plan: Plan, *, all_: bool = False) -> Approvals:
    """The approvals of `plan` that the journal has: all_, or as many as the gate has to know. Raises GitError."""
    if work.repo.problem:
        return Approvals(problem=f"the journal is not believed: {work.repo.problem.message}")
    mine = [
        a
        for a in work.state.approvals.values()
        if a.saltenv == plan.saltenv and a.digest == plan.whole_digest
    ]
    try:
        judge = judge_of(work, gate, plan)
        return Approvals(tuple(map(judge.judge, mine))) if all_ else judge.enough(mine)
    except GitError:
        raise
    except SaltbranchError as err:
        return Approvals(problem=f"{err.message} ({err.hint})")


def signers_of(work: Workplace, gate: ApprovalsGate) -> str:
    """Lines of allowed signers: those of the model, or of a file beside it in the same commit of production.

    Never what the plan brings. Raises SaltbranchError where there is no such file.
    """
    source = work.config.source
    found = signers.read(
        work.git, source.commit, Signers(gate.file, gate.lines), source.branch or ""
    )
    return found.text


def _people(work: Workplace, plan: Plan) -> People:
    """Authors, committers, promoters and signers of all commits that `plan` brings, merges too. Raises GitError."""
    target = plan.target
    found = people_of(work.git, target.old, target.source)
    if not plan.resolved:
        return found
    me = identity.who(work.git)  # who resolved a conflict wrote the result
    return People(found.names | _names(me), found.keys)


def people_of(git: Git, old: str, new: str) -> People:
    """Of the commits after `old` up to `new`. Raises GitError."""
    names: set[str] = set()
    keys: set[str] = set()
    args = ("log", "-z", "--format=raw", "--end-of-options", new, f"^{old}", "--")
    for entry in filter(None, git.out(*args).split("\0")):
        head, _, message = entry.partition("\n\n")
        signature: list[str] = []
        key = ""
        for line in head.split("\n"):
            if line.startswith(" "):
                signature += [line[1:]] if key.startswith("gpgsig") else []
                continue
            key, _, value = line.partition(" ")
            if key in ("author", "committer"):
                names |= _names(value.rpartition(" ")[0].rpartition(" ")[0])
            elif key.startswith("gpgsig"):
                signature.append(value)
        keys.add(signing_key("\n".join(signature)))
        for line in message.split("\n"):
            if promoter := _PROMOTER.match(line):
                names |= _names(promoter[1])
    return People(frozenset(names), frozenset(keys - {""}))


def _names(text: str) -> frozenset[str]:
    """`Ann <ann@example.com>`: her address; a text without one is a name itself."""
    found = _ADDRESS.search(text)
    return frozenset({(found[1] if found else text).strip().lower()} - {""})


def lines(found: Approvals, count: int) -> Sequence[str]:
    """For people: each approval, and whether it counts."""
    rows = [
        f"{r.approval.id}  {iso(r.approval.time)}  {r.name}"
        f"  {f'does not count: {r.why_not}' if r.why_not else 'counts'}"
        for r in found.rows
    ]
    return [*rows, found.problem or f"{many(len(found.persons), 'person')} of {count}"]
