"""The rules about owners, modes, times and room."""

from __future__ import annotations

import stat

import pytest

from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import disk
from saltbranch.doctor.rules.disk import Account, Dated, Entry

SECOND = 10**9
OWNER, GROUP, MASTER, MASTERS = 1000, 1000, 450, 451
FOLDER, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def entry(
    path: str, mode: int, *, uid: int = OWNER, gid: int = MASTERS, reachable: bool = False
) -> Entry:
    return Entry(path, mode, uid, gid, reachable)


ROOT = entry("/srv/sb", FOLDER | 0o2750)
SERVED = entry("/srv/sb/slots/x/a/f", FILE | 0o640)


def one(findings: list[Finding]) -> str:
    (finding,) = findings
    return finding.id


def test_a_tree_for_owner_and_group_is_fine() -> None:
    entries = [ROOT, SERVED, entry("/srv/sb/checkouts/x", LINK | 0o777, reachable=True)]

    assert list(disk.modes(entries)) == []
    assert list(disk.owners(entries, OWNER)) == []
    assert list(disk.master_access(entries, Account("salt", MASTER, frozenset({MASTERS})))) == []


def test_a_file_that_all_can_read_counts_only_where_all_can_get_at_it() -> None:
    shut = entry("/srv/sb/f", FILE | 0o644)
    open_ = entry("/srv/sb/f", FILE | 0o644, reachable=True)

    assert list(disk.modes([ROOT, shut])) == []
    assert one(list(disk.modes([ROOT, open_]))) == "readable-by-others"


@pytest.mark.parametrize("mode", [0o660, 0o642, 0o770])
def test_files_that_others_can_change_are_found(mode: int) -> None:
    assert one(list(disk.modes([ROOT, entry("/srv/sb/f", FILE | mode)]))) == "writable-by-others"


def test_an_owner_who_is_not_us_is_found_once() -> None:
    assert one(list(disk.owners([ROOT, SERVED], 0))) == "root-owner"
    assert one(list(disk.owners([ROOT, entry("/srv/sb/f", FILE, uid=0)], OWNER))) == "wrong-owner"


@pytest.mark.parametrize(
    ("uid", "gids", "mode", "opens"),
    [
        (0, (), 0o000, True),
        (OWNER, (), 0o400, True),
        (OWNER, (MASTERS,), 0o040, False),
        (MASTER, (MASTERS,), 0o640, True),
        (MASTER, (MASTERS,), 0o604, False),
        (MASTER, (), 0o640, False),
        (MASTER, (), 0o604, True),
    ],
)
def test_the_master_reads_as_the_kernel_lets_it(
    uid: int, gids: tuple[int, ...], mode: int, opens: bool
) -> None:
    account = Account("salt", uid, frozenset(gids))
    found = list(disk.master_access([entry("/srv/sb/f", FILE | mode)], account))

    assert [finding.id for finding in found] == ([] if opens else ["master-cannot-read"])


def test_a_folder_must_let_the_master_in_and_list() -> None:
    account = Account("salt", MASTER, frozenset({MASTERS}))

    assert (
        one(list(disk.master_access([entry("/d", FOLDER | 0o740)], account)))
        == "master-cannot-read"
    )
    assert one(list(disk.parents([entry("/srv", FOLDER | 0o700)], account))) == "master-cannot-read"
    assert list(disk.parents([entry("/srv", FOLDER | 0o711)], account)) == []


def test_files_older_than_their_slot_are_found() -> None:
    made = 1_700_000_000 * SECOND
    files = [
        Dated("/new", made + SECOND, made),
        Dated("/clock", made - 30 * SECOND, made),
        Dated("/old", made - 3600 * SECOND, made),
        Dated("/twin", made + SECOND, made, copied=True),
    ]

    (finding,) = disk.times(files)

    assert finding.items == ("/old", "/twin")
    assert list(disk.times(files[:2])) == []


@pytest.mark.parametrize(
    ("free", "inodes", "found"),
    [
        (1 << 40, 10**9, []),
        (1 << 40, None, []),
        (100 << 20, None, ["disk-space"]),
        (1 << 40, 12, ["disk-space"]),
    ],
)
def test_too_little_room_is_found(free: int, inodes: int | None, found: list[str]) -> None:
    assert [finding.id for finding in disk.space(free, inodes, "/srv/sb")] == found
