"""webhook: sync because the git server announced a push; several pushes in a row make one sync."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saltbranch.actions.sync import sync
from saltbranch.base.errors import UsageError, os_error
from saltbranch.config import locate
from saltbranch.git.mirror import JOURNAL_REF, Mirror, Refs
from saltbranch.repository import prepared
from saltbranch.repository.root import open_root
from saltbranch.webhook import coalesce
from saltbranch.webhook.coalesce import Note

if TYPE_CHECKING:
    from saltbranch.serve.run import Notify, SyncResult

_LOCK = 300  # seconds to wait for another saltbranch
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 1.0
_HEADS, _TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """What became of a push. result: of the last sync, None where another call serves this push as well.

    syncs: how many were made. missing: what the remote was said to have and does not show, each as ``ref commit``.
    """

    result: SyncResult | None = None
    syncs: int = 0
    missing: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """That of the sync; 0 where another call does it."""
        return self.result.exit_code if self.result else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "version": 1,
            "coalesced": self.result is None,
            "syncs": self.syncs,
            "missing": list(self.missing),
            "sync": self.result.as_dict() if self.result else None,
        }


def webhook(
    config_path: str, ref: str, commit: str, *, notify: Notify | None = None
) -> WebhookResult:
    """Serve what was pushed.

    ref: in full. commit: where it is now, empty where it is gone or that was not said. Where the remote does not show
    it yet, it is asked again for a while; all else that it shows is served meanwhile. Raises what `sync` raises,
    LockedError and UsageError; the push is remembered then, and the next call, or sync, serves it.
    """
    if not ref.startswith("refs/") or not ref.isprintable():
        raise UsageError(f"{ref!r} is not a full ref", hint="for example refs/heads/develop")
    if commit and (len(commit) not in (40, 64) or commit.strip("0123456789abcdef")):
        raise UsageError(f"{commit!r} is not the full hash of a commit")
    root = _root(config_path)
    try:
        coalesce.note(root, ref, commit)
        with coalesce.turn(root) as is_mine:
            return _serve(root, config_path, notify) if is_mine else WebhookResult()
    except OSError as err:
        raise os_error(err) from err


def _root(config_path: str) -> str:
    """The root, made where it is not there yet."""
    plain = locate.plain_root(config_path)
    if plain is not None and prepared.load(plain, config_path):
        return plain
    found = open_root(config_path, write=True)
    assert found is not None  # it is written to
    return found


def _serve(root: str, config_path: str, notify: Notify | None) -> WebhookResult:
    pause, syncs = _FIRST_PAUSE, 0
    whole: SyncResult | None = None
    while True:
        pushed = coalesce.noted(root)
        result = sync(config_path, wait=_LOCK, notify=notify)
        syncs += 1
        if whole is None or result.changed:
            whole = result
        missing = _missing(root, config_path, pushed)
        now = time.time()
        due = [note for note in missing if note.is_due(now)]
        coalesce.forget(root, [note for note in pushed if note not in due])
        if not due:
            told = tuple(f"{n.ref} {n.commit or 'deleted'}" for n in missing if n not in due)
            return WebhookResult(whole, syncs, told)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _missing(root: str, config_path: str, pushed: Sequence[Note]) -> list[Note]:
    """Of `pushed`, what the mirror does not show after a sync. Raises GitError."""
    ready, mirror = prepared.load(root, config_path), Mirror(root)
    if not pushed or ready is None:
        return []
    refs = mirror.refs(tags=ready.follows_tags())
    return [note for note in pushed if not _is_shown(mirror, refs, note)]


def _is_shown(mirror: Mirror, refs: Refs, note: Note) -> bool:
    if note.ref == JOURNAL_REF:
        head = refs.journal or ""
    elif note.ref.startswith(_TAGS):
        name = note.ref.removeprefix(_TAGS)
        if not note.commit:
            return True
        return note.commit in (refs.tags.get(name), refs.tag_commits.get(name))
    else:
        head = refs.branches.get(note.ref.removeprefix(_HEADS), "")
    if not note.commit or head == note.commit:
        return True  # of what is deleted, or not said, a sync sees what there is
    git = mirror.git
    return bool(head and git.commit_or_none(note.commit) and git.is_ancestor(note.commit, head))
