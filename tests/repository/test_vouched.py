"""Who vouches for commits: signatures by allowed signers, and clean merges of what they signed."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from saltbranch.git import signed_commit
from saltbranch.git.program import Git
from saltbranch.repository import vouched
from saltbranch.repository.signers import Allowed, of_lines
from saltbranch.repository.vouched import Found, Judge
from tests.support.remote import Remote
from tests.support.signing import Keys, Signing


class Place:
    """A branch `main` whose first commit is accepted."""

    def __init__(self, folder: Path) -> None:
        self.remote = Remote(folder / "remote.git")
        self.keys = Keys(folder / "keys")
        self.by = Signing(self.remote, self.keys)
        lines = {f"f{n}": f"{n}\n" for n in range(5)}
        self.begin = self.remote.commit("main", {**lines, "long": "a\nb\nc\nd\ne\nf\n"})
        self.lines = [self.keys.line("ann"), self.keys.line("bob")]

    def branch(self, name: str, start: str) -> None:
        self.remote.set_branch(name, start)

    def judge(self, *, seen: float | None = None, keeps: tuple[tuple[str, ...], ...] = ()) -> Judge:
        allowed = of_lines(tuple(self.lines), "the model")

        def rule(_at: str | None) -> Allowed:
            return allowed

        moment = (lambda _commit: seen) if seen is not None else (lambda _commit: time.time())
        return Judge(Git(str(self.remote.path)), rule, keeps, seen=moment)

    def found(self, new: str = "", **how: float) -> Found:
        return self.judge(**how).judge(new or self.remote.head("main"), self.begin)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_signed_commits_are_vouched_for_by_their_signers(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    place.by.commit("main", {"x": "2"}, "bob")
    found = place.found()
    assert found.refusal == "" and found.people == ["ann@example.com", "bob@example.com"]
    assert found.told() == "signed by ann@example.com, bob@example.com"


def test_what_is_accepted_is_not_asked_about(place: Place) -> None:
    assert place.found(place.begin) == Found()
    first = place.by.commit("main", {"x": "1"}, "ann")
    head = place.by.commit("main", {"x": "2"}, "ann")
    assert place.judge().judge(first, head) == Found()  # a hold at what was served before


def test_an_unsigned_commit_is_named(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    bad = place.by.commit("main", {"x": "2"})
    place.by.commit("main", {"x": "3"}, "ann")
    found = place.found()
    assert found.refused == bad and len(found.vouchers) == 1
    assert bad[:12] in found.refusal and "not signed" in found.refusal
    assert "'change' by Ann <ann@example.com>" in found.refusal and bad[:12] in found.hint


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (None, "not that of an allowed signer"),
        ('valid-before="20200101"', "expired"),
        ('valid-after="20990101"', "not valid yet"),
        ('namespaces="saltbranch-approval"', "by the options of its line"),
        ('namespaces="git"', ""),
        ("cert-authority", "not good"),
    ],
)
def test_a_signature_that_does_not_count(place: Place, options: str | None, why: str) -> None:
    place.by.commit("main", {"x": "1"}, "eve")
    if options is not None:
        place.lines.append(place.keys.line("eve", options))
    found = place.found()
    assert (why in found.refusal) if why else not found.refusal


def test_a_key_that_expired_after_the_commit_was_seen_still_counts(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "eve")
    place.lines.append(place.keys.line("eve", 'valid-before="20200101"'))
    seen = time.mktime((2019, 6, 1, 0, 0, 0, 0, 0, -1))
    assert place.found(seen=seen).refusal == ""
    assert "expired" in place.found().refusal


def test_a_commit_with_a_forged_date_is_judged_by_when_it_was_seen(place: Place) -> None:
    place.remote.clock = 1_500_000_000
    place.by.commit("main", {"x": "1"}, "eve")
    place.lines.append(place.keys.line("eve", 'valid-before="20200101"'))
    assert "expired" in place.found().refusal


def test_what_somebody_signed_cannot_be_changed(place: Place) -> None:
    good = place.by.commit("main", {"x": "1"}, "ann")
    data = place.remote.git("cat-file", "commit", good).encode() + b"\n"
    other = place.remote.git("rev-parse", f"{place.begin}^{{tree}}").encode()
    tree = place.remote.git("rev-parse", f"{good}^{{tree}}").encode()
    forged = data.replace(b"tree " + tree, b"tree " + other)
    bad = place.remote.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=forged)
    found = place.judge().judge(bad, place.begin)
    assert "the signature is of something else" in found.refusal


def test_a_clean_merge_of_signed_commits_needs_no_signature(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    place.branch("topic", place.begin)
    place.by.commit("topic", {"y": "1"}, "bob")
    place.by.merge("main", place.remote.head("topic"))
    found = place.found()
    assert found.refusal == "" and [v.by for v in found.vouchers] == [
        "ann@example.com",
        "clean merge",
    ]


def test_a_clean_merge_that_a_server_signed_is_one(place: Place) -> None:
    place.branch("topic", place.begin)
    theirs = place.by.commit("topic", {"y": "1"}, "bob")
    place.by.merge("main", theirs, "server")
    assert place.found().refusal == ""


def test_a_clean_merge_brings_nothing_unsigned(place: Place) -> None:
    place.branch("topic", place.begin)
    bad = place.by.commit("topic", {"y": "1"})
    place.by.commit("topic", {"y": "2"}, "bob")
    place.by.merge("main", place.remote.head("topic"))
    found = place.found()
    assert found.refused == place.remote.head("main")
    assert (
        bad[:12] in found.refusal
        and "a merge that no allowed signer signed brings it" in found.refusal
    )


def test_merges_in_merges(place: Place) -> None:
    for name, start in (("deep", place.begin), ("topic", place.begin)):
        place.branch(name, start)
        place.by.commit(name, {name: "1"}, "bob")
    place.by.merge("topic", place.remote.head("deep"))
    place.by.merge("main", place.remote.head("topic"))
    assert place.found().refusal == ""
    bad = place.by.commit("deep", {"deep": "2"})
    place.by.merge("topic", bad)
    place.by.merge("main", place.remote.head("topic"))
    assert bad[:12] in place.found().refusal


def test_an_evil_merge_needs_a_signature(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    before = place.remote.head("main")
    place.branch("topic", place.begin)
    theirs = place.by.commit("topic", {"y": "1"}, "bob")
    evil = place.remote.commit("evil", {"x": "evil", "y": "1"}, parents=(before,))
    tree = place.remote.git("rev-parse", f"{evil}^{{tree}}")
    place.by.merge("main", theirs, tree=tree)
    assert "merging its parents gives other files" in place.found().refusal
    place.branch("main", before)
    place.by.merge("main", theirs, "ann", tree=tree)
    assert place.found().refusal == ""


@pytest.mark.parametrize("key", ["", "ann", "eve"])
def test_a_resolved_conflict_is_vouched_for_by_who_signs_it(place: Place, key: str) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    place.branch("topic", place.begin)
    theirs = place.by.commit("topic", {"x": "2"}, "bob")
    place.by.merge("main", theirs, key, tree=place.remote.git("rev-parse", f"{theirs}^{{tree}}"))
    why = {
        "": "not signed, and it merges what conflicts",
        "ann": "",
        "eve": "allowed signer, and it merges",
    }[key]
    found = place.found()
    assert (why in found.refusal) if why else not found.refusal


def test_attributes_in_the_repository_make_no_merge_clean(place: Place) -> None:
    place.remote.git("config", "merge.evil.driver", "true")
    place.by.commit("main", {".gitattributes": "* merge=union\n", "x": "1\n"}, "ann")
    place.branch("topic", place.begin)
    theirs = place.by.commit("topic", {"x": "2\n"}, "bob")
    union = place.remote.commit("u", {"x": "1\n2\n"}, parents=(place.remote.head("main"),))
    place.by.merge("main", theirs, tree=place.remote.git("rev-parse", f"{union}^{{tree}}"))
    assert "it merges what conflicts" in place.found().refusal


def test_paths_that_a_promotion_keeps_do_not_make_it_another_merge(place: Place) -> None:
    place.by.commit("main", {"own": "mine"}, "ann")
    place.branch("topic", place.begin)
    theirs = place.by.commit("topic", {"own": "theirs", "y": "1"}, "bob")
    kept = place.remote.commit("k", {"y": "1"}, parents=(place.remote.head("main"),))
    place.by.merge("main", theirs, tree=place.remote.git("rev-parse", f"{kept}^{{tree}}"))
    new = place.remote.head("main")
    assert place.judge().judge(new, place.begin).refusal
    assert not place.judge(keeps=(("own",),)).judge(new, place.begin).refusal


def test_what_was_accepted_before_may_be_merged_back(place: Place) -> None:
    """Before signatures were asked for, or by somebody who was removed: production has it already."""
    place.branch("develop", place.begin)
    accepted = place.by.commit("main", {"x": "hotfix"})
    place.by.commit("develop", {"y": "1"}, "ann")
    back = place.by.merge("develop", accepted)
    place.by.merge("main", back)
    assert place.judge().judge(place.remote.head("main"), accepted).refusal == ""
    assert place.judge().judge(back, place.begin, [], accepted).refusal == ""
    assert "not signed" in place.judge().judge(back, place.begin).refusal
    brought = place.by.commit("topic", {"z": "1"}, parents=(place.begin,))
    signed = place.by.merge("main", brought, "ann")  # may have left out what it brings
    bad = place.by.make(
        place.remote.git("merge-tree", "--write-tree", place.begin, brought), (place.begin, brought)
    )
    assert "not signed" in place.judge().judge(bad, signed).refusal


def test_a_branch_that_is_new_here_needs_more_than_a_merge_of_something_old(place: Place) -> None:
    """Whoever may push can merge what is signed into anything of their own."""
    good = place.by.commit("main", {"x": "1"}, "ann")
    place.branch("topic", place.begin)
    evil = place.by.commit("topic", {"evil": "1"})
    for theirs in (place.begin, good):
        tree = place.remote.git("merge-tree", "--write-tree", evil, theirs)
        bad = place.by.make(tree, (evil, theirs))
        found = place.judge().judge(bad, None, [], place.begin)
        assert found.refused == evil and "not signed" in found.refusal
    place.branch("topic", place.begin)
    head = place.by.merge("topic", good)
    assert place.judge().judge(head, None, [], place.begin).refusal == ""
    assert place.judge().judge(place.begin, None, [], head).refusal  # as before: the head alone


@pytest.mark.parametrize("shape", ["first parent", "nested"])
def test_paths_that_a_promotion_keeps_do_not_go_back(place: Place, shape: str) -> None:
    """With an old commit as the first parent, keeping its paths would take back what was accepted."""
    place.by.commit("main", {"own": "old"}, "ann")
    old = place.remote.head("main")
    now = place.by.commit("main", {"own": "fixed"}, "ann")
    tree = place.remote.git("rev-parse", f"{old}^{{tree}}")
    bad = place.by.make(tree, (old, now))
    if shape == "nested":
        bad = place.by.make(tree, (now, bad))
    judge = place.judge(keeps=(("own",),))
    found = judge.judge(bad, now)
    assert found.refused == bad and "owned paths" in found.refusal
    if shape == "nested":  # what is known of it as a part of that says nothing of it as a head
        alone = place.remote.git("rev-parse", f"{bad}^2")
        assert "owned paths" in judge.judge(alone, now).refusal


def test_a_merge_back_that_keeps_paths_comes_with_the_next_promotion(place: Place) -> None:
    keeps = (("own",),)
    place.branch("develop", place.begin)
    place.by.commit("main", {"own": "main's", "x": "hotfix"}, "ann")
    now = place.remote.head("main")
    mine = place.by.commit("develop", {"own": "develop's"}, "ann")
    hotfix = place.remote.git("rev-parse", f"{now}:x")
    tree = place.remote.commit("scratch", {"x": "hotfix"}, parents=(mine,))
    assert place.remote.git("rev-parse", f"{tree}:x") == hotfix
    back = place.by.make(place.remote.git("rev-parse", f"{tree}^{{tree}}"), (mine, now))
    next_ = place.by.make(place.remote.git("rev-parse", f"{now}^{{tree}}"), (now, back))
    assert place.judge(keeps=keeps).judge(next_, now).refusal == ""
    button = place.by.make(place.remote.git("rev-parse", f"{back}^{{tree}}"), (now, back))
    assert "owned paths" in place.judge(keeps=keeps).judge(button, now).refusal


def test_an_octopus_needs_a_signature(place: Place) -> None:
    heads = []
    for name in ("a", "b"):
        place.branch(name, place.begin)
        heads.append(place.by.commit(name, {name: "1"}, "ann"))
    tree = place.remote.git("merge-tree", "--write-tree", *heads)
    for key in ("", "bob"):
        new = place.by.make(tree, (place.begin, *heads), key)
        assert bool(place.judge().judge(new, place.begin).refusal) is not bool(key)


def test_an_old_head_counts_and_what_a_merge_brought_does_not(place: Place) -> None:
    """Going back is the matter of `protected`; to where nobody vouched for the head it is not possible."""
    first = place.by.commit("main", {"x": "1"}, "ann")
    place.branch("topic", first)
    brought = place.by.commit("topic", {"y": "1"})
    head = place.by.merge("main", brought, "ann")  # who signs it vouches for what it brings
    assert place.judge().judge(head, place.begin).refusal == ""
    assert place.judge().judge(first, head).refusal == ""
    assert "not signed" in place.judge().judge(brought, head).refusal


def test_a_first_look_asks_about_the_head_alone(place: Place) -> None:
    place.by.commit("main", {"x": "1"})
    head = place.by.commit("main", {"x": "2"}, "ann")
    assert place.judge().judge(head, None).refusal == ""
    bad = place.by.commit("main", {"x": "3"})
    assert place.judge().judge(bad, None).refusal
    assert (
        place.judge().judge(bad, "1" * 40).refusal
    )  # what was accepted is in no repository any more


def test_nobody_vouches_where_there_are_no_signers(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    place.lines = ["# nobody"]
    assert "not that of an allowed signer" in place.found().refusal


HEADERS = [
    "gpgsig",
    "gpgsig \n -----BEGIN SSH SIGNATURE-----\n -----END SSH SIGNATURE-----",
    "gpgsig -----BEGIN PGP SIGNATURE-----\n \n aGVsbG8=\n -----END PGP SIGNATURE-----",
    "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lHAAAA\n -----END SSH SIGNATURE-----",
    "gpgsig -----BEGIN SSH SIGNATURE-----\n " + "A" * 50_000 + "\n -----END SSH SIGNATURE-----",
    "gpgsig-sha256 x",
    "gpgsigx y",
    "gpgsig \udcff\udcfe",
    "gpgsig --help\n -I",
]


@pytest.mark.parametrize("header", HEADERS)
def test_hostile_signatures_are_none(place: Place, header: str) -> None:
    plain = place.by.commit("main", {"x": "1"})
    data = place.remote.git("cat-file", "commit", plain)
    forged = data.replace("\n\n", f"\n{header}\n\n", 1).encode("utf-8", "surrogateescape") + b"\n"
    bad = place.remote.git(
        "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=forged
    )
    assert place.judge().judge(bad, place.begin).refusal


def test_a_second_signature_or_one_among_the_parents_is_not_believed(place: Place) -> None:
    """What is signed stays the same, and git would read it in another way."""
    good = place.by.commit("main", {"x": "1"}, "ann")
    data = (place.remote.git("cat-file", "commit", good) + "\n").encode()
    raw = signed_commit.parse(good, data)
    assert raw.problem == "" and raw.payload in data.replace(b"gpgsig", b"") or raw.signature
    begin = data.index(b"gpgsig ")
    end = data.index(b"\n\n", begin) + 1
    block = data[begin:end]
    moved = (data[:begin] + data[end:]).replace(b"\nparent", b"\n" + block + b"parent", 1)
    twice = data[:end] + b"gpgsig-sha256 x\n" + data[end:]
    for forged, why in ((moved, "not as git makes commits"), (twice, "more than one signature")):
        parsed = signed_commit.parse(good, forged)
        assert why in parsed.problem


def test_a_commit_that_is_huge_is_not_read(place: Place) -> None:
    tree = place.remote.git("rev-parse", f"{place.begin}^{{tree}}")
    text = (
        f"tree {tree}\nparent {place.begin}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n"
    )
    data = text.encode() + b"x" * 1_000_001
    bad = place.remote.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=data)
    assert "larger than" in place.judge().judge(bad, place.begin).refusal


def test_there_is_a_bound(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vouched, "MOST", 2)
    for number in range(3):
        place.by.commit("main", {"x": f"{number}"}, "ann")
    found = place.found()
    assert "more than 2 commits" in found.refusal and "hold --at" in found.hint


def test_what_is_known_is_not_verified_again(place: Place) -> None:
    place.by.commit("main", {"x": "1"}, "ann")
    judge = place.judge()
    assert not judge.judge(place.remote.head("main"), place.begin).refusal
    again = place.judge()
    again.known = judge.known
    place.lines = [place.keys.line("bob")]  # other signers: nothing is known of it
    other = place.judge()
    other.known = judge.known
    assert other.judge(place.remote.head("main"), place.begin).refusal
    assert not again.judge(place.remote.head("main"), place.begin).refusal


# A slow and simple oracle


class Oracle:
    """By the words of the documentation, a process for each question, and whole histories as sets."""

    def __init__(self, remote: Remote, signed: set[str]) -> None:
        self.remote = remote
        self.signed = signed

    def parents(self, commit: str) -> list[str]:
        return self.remote.git("rev-list", "--parents", "-1", commit).split()[1:]

    def all_of(self, commit: str) -> set[str]:
        return set(self.remote.git("rev-list", commit).split())

    def line(self, commit: str) -> list[str]:
        found = [commit]
        while parents := self.parents(found[-1]):
            found.append(parents[0])
        return found

    def is_vouched(self, commit: str) -> bool:
        if commit in self.signed:
            return True
        parents = self.parents(commit)
        if len(parents) != 2:
            return False
        tree = self.remote.git("rev-parse", f"{commit}^{{tree}}")
        argv = ("-c", "merge.directoryRenames=conflict", "merge-tree", "--write-tree", *parents)
        try:
            same = self.remote.git(*argv).split("\n")[0] == tree
        except Exception:  # noqa: BLE001 - it conflicts
            return False
        seen = self.all_of(parents[0])
        return same and all(self.is_vouched(c) for c in self.line(parents[1]) if c not in seen)

    def serves(self, new: str, old: str) -> bool:
        seen = self.all_of(old)
        chain = [c for c in self.line(new) if c not in seen]
        if not chain and new in self.line(old):
            return True
        return all(self.is_vouched(c) for c in chain or [new])


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_are_judged_as_the_oracle_does(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    commits, signed = [place.begin], set()
    tree_of = {place.begin: place.remote.git("rev-parse", f"{place.begin}^{{tree}}")}
    for number in range(14):
        key = chance.choice(["ann", "ann", "", "eve"])
        ours, theirs = chance.choice(commits), chance.choice(commits)
        if chance.random() < 0.5 and ours != theirs:
            try:
                tree = place.remote.git("merge-tree", "--write-tree", ours, theirs).split("\n")[0]
            except Exception:  # noqa: BLE001 - it conflicts
                tree = tree_of[theirs]
            if chance.random() < 0.2:
                tree = tree_of[chance.choice(commits)]
            parents: tuple[str, ...] = (ours, theirs)
        else:
            name = f"f{chance.randrange(4)}"
            made = place.remote.commit("x", {name: f"{number}\n"}, parents=(ours,))
            tree, parents = place.remote.git("rev-parse", f"{made}^{{tree}}"), (ours,)
        new = place.by.make(tree, parents, key)
        tree_of[new] = tree
        commits.append(new)
        if key == "ann":
            signed.add(new)
    oracle = Oracle(place.remote, signed)
    answers = set()
    for _ in range(12):
        new, old = chance.choice(commits), chance.choice(commits)
        right = new == old or oracle.serves(new, old)
        assert (not place.judge().judge(new, old).refusal) is right, (new, old)
        answers.add(right)
    assert answers == {True, False}
