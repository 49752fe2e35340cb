"""What is compiled and what comes out: plain values that travel as JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

FORMAT = 20
"""Changes whenever a result would look different for the same input: old cache entries miss."""

UNKEPT = {
    "external": "an external pillar ran a program or asked the network, and what it read is not known",
    "unfollowed": "code of the branch read files in a way that cannot be followed",
    "tried": "code of the branch started a program or left the tree",
    "outside": "a file outside of states and pillar was looked for",
    "name": "a file was looked for whose name may be a secret",
    "ended": "compiling ended without a result",
}
"""Why a result is never kept, by the word for it."""
_SURROGATE = re.compile(rb"\\ud[89a-f]")
Outcome = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Minion:
    """A minion that is compiled for.

    saltenv: the one that it belongs to. pillar: stands in for pillar that is not in the repository.
    returns: what execution functions answer, by ``fun`` or ``fun(arguments)``. source: where the
    grains come from; recorded: when they were, in seconds since 1970. cached_pillar: the keys of the
    pillar that the master gave it last, as far as it remembers.
    """

    id: str
    saltenv: str
    grains: Mapping[str, Any]
    pillar: Mapping[str, Any] = field(default_factory=dict)
    returns: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    recorded: float | None = None
    cached_pillar: tuple[str, ...] = ()

    def as_job(self) -> dict[str, Any]:
        """What the compiler has to know, and what a cached result depends on."""
        return {
            "id": self.id,
            "saltenv": self.saltenv,
            "grains": dict(self.grains),
            "pillar": dict(self.pillar),
            "returns": dict(self.returns),
        }

    def digest(self) -> str:
        """Stands for all of `as_job`."""
        known = getattr(self.grains, "digest", None)  # those of `kept_values` know it
        grains = known if isinstance(known, str) else digest(dict(self.grains))
        return digest([self.id, self.saltenv, grains, dict(self.pillar), dict(self.returns)])


@dataclass(frozen=True, slots=True)
class Reads:
    """Which files of the commit a result depends on, by path inside the repository.

    files: read or looked for, whether they exist or not. globs: patterns that were matched with
    the names of all sls files below a folder. listings: folders whose whole content was looked at.
    ciphers: names of the PGP messages that were to be deciphered. whole: any file may have been read. unkept: why it
    is not known, see `UNKEPT`.
    """

    files: tuple[str, ...] = ()
    globs: tuple[tuple[str, str], ...] = ()
    listings: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    whole: bool = False
    unkept: str = ""


OF_STATE = 16
"""How much of `Chunk.identity` stands for ID and function."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file of a state as it was rendered. source: below states_dir, or empty. digest: a keyed one of all of it,
    empty where it is not known; then `problem` says why. lines: see `compiler.inside.contents`; empty where they are
    not told. asked: functions that were answered neutrally meanwhile.
    """

    source: str
    digest: str = ""
    lines: tuple[str, ...] = ()
    problem: str = ""
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One low chunk. key: ``ID | module.function``, made unique by the name where it must be, with stand-ins for
    words that may not be public (see `hiding`). identity: a keyed digest of ID and function, `OF_STATE` characters,
    followed by one of the name; equal for the same chunk whatever of it is hidden.

    arguments: name, with stand-ins like `key`, to a value that may be shown or to ``{"masked": digest}``. sources:
    files and folders (with a slash at the end) below states_dir that it names as ``salt://``, with the
    templates that these include. place: its number among the states as they are written down; None
    where an `order:` decides instead. template: what can be said of its files without rendering them, empty where
    nothing is rendered (see `inside.sources`). content: its files, where they were rendered.
    """

    key: str
    sls: str
    path: str
    line: int | None
    arguments: Mapping[str, Any]
    sources: tuple[str, ...] = ()
    place: float | None = None
    identity: str = ""
    template: str = ""
    content: tuple[Content, ...] = ()

    @property
    def module(self) -> str:
        """``module.function``."""
        return self.key.rpartition(" | ")[2].partition(" #")[0]


@dataclass(frozen=True, slots=True)
class Brief:
    """What is asked of the chunks of a side that is the same as the other. keys: how many different ones they have.
    sources: all that they name; templates: those of chunks with a template; flags: of these.
    """

    number: int = 0
    keys: int = 0
    sources: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    flags: str = ""


def brief_of(chunks: Sequence[Chunk]) -> Brief:
    """The `Brief` of `chunks`."""
    return Brief(
        number=len(chunks),
        keys=len({c.key for c in chunks}),
        sources=tuple(sorted({path for c in chunks for path in c.sources})),
        templates=tuple(sorted({path for c in chunks if c.template for path in c.sources})),
        flags="".join(sorted({flag for c in chunks for flag in c.template})),
    )


# Where words of a chunk's ID or function, or of an argument's name, may not be shown: a keyed digest, the cache's own.
_OF_CHUNK = re.compile(r" ~([0-9a-f]{8})(?= \| |$)")


def without_digest(key: str) -> str:
    """A chunk's key, or an argument's name, without the digest that stands for hidden words, another one on another
    machine.
    """
    return _OF_CHUNK.sub("", key)


def hidden_name(name: str) -> str:
    """The digest of an argument's name that is hidden, else empty."""
    found = _OF_CHUNK.search(name)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one minion gets from one commit.

    result: ``partial`` when some of it could not be compiled: `errors` says what, `chunks` and
    `pillar` hold the rest. pillar: path, joined by ``:``, to a digest of the value. functions:
    custom execution functions that were called. needs_pillar: what the states are may depend on the pillar.
    unsure: whether an error may have another cause than the commit: an answer was made up, something was not
    deciphered or was forbidden, or the compile was stopped. asked: calls in states that were answered neutrally, as
    keys of `returns`; without their arguments where these hold something that is not public. cpu: seconds that it
    took; rendering: those of them that the files of states took. low: the chunks as
    Salt has them, only where plain output was asked for.
    """

    minion: str
    result: Outcome
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    chunks: Sequence[Chunk] = ()
    pillar: Mapping[str, str] = field(default_factory=dict)
    states_matched: bool = True
    functions: tuple[str, ...] = ()
    needs_pillar: bool = True
    unsure: bool = False
    asked: tuple[str, ...] = ()
    reads: Reads = Reads()
    cached: bool = False
    cpu: float = 0.0
    rendering: float = 0.0
    low: Any = None
    plain_pillar: Any = None

    @property
    def error(self) -> str | None:
        """The errors as one text."""
        return "\n".join(self.errors) or None

    @property
    def brief(self) -> Brief:
        """What is asked of `chunks` where both sides are the same."""
        known = getattr(self.chunks, "brief", None)  # those of `kept_values` know it
        return known if isinstance(known, Brief) else brief_of(self.chunks)

    def as_json(self) -> bytes:
        """All of it: pillar as digests, arguments masked."""
        return encoded(self)


_T = TypeVar("_T")


def encoded(value: Any) -> bytes:
    """JSON of results or of parts of them."""
    import msgspec  # not in the sandbox

    try:
        return msgspec.json.encode(value, enc_hook=list)
    except UnicodeEncodeError:  # half a character, as broken file names have
        return json.dumps(msgspec.to_builtins(value, enc_hook=list)).encode()


def decoded(text: bytes, kind: type[_T]) -> _T:
    """What `encoded` made `text` of. Raises ValueError for anything else."""
    import msgspec  # not in the sandbox

    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as err:  # a wrong type is one, too
        if not _SURROGATE.search(text):
            raise ValueError(str(err)) from err
    try:
        return msgspec.convert(json.loads(text), kind)
    except msgspec.ValidationError as err:
        raise ValueError(str(err)) from err


def compiled_from_json(text: bytes) -> Compiled:
    """The `Compiled` that `as_json` made `text` of. Raises ValueError for anything else."""
    found = decoded(text, Compiled)
    return replace(found, chunks=tuple(found.chunks))


def failed(minion: str, error: str, notes: tuple[str, ...] = ()) -> Compiled:
    """The result for a minion that could not be compiled at all."""
    return Compiled(minion, "failed", (error,), notes, unsure=True)


def digest(value: Any) -> str:
    """A SHA-256 over plain data; the same for the same content."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    except TypeError:
        # Keys of several types, as YAML has them, have no order before they are texts.
        value = json.loads(json.dumps(value, default=str))
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_MOST_PARTS = 1_000_000


def travels(value: Any) -> bool:
    """Whether a compile can be told `value`, as YAML gives it: there may be dates as keys, mappings that hold
    themselves, and aliases of aliases that make a few lines millions.
    """
    try:
        if _parts(value, {}) >= _MOST_PARTS:
            return False
        json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _parts(value: Any, known: dict[int, int]) -> int:
    """Of how many parts `value` is, each counted as often as it is written down; what holds itself has the most."""
    if not isinstance(value, (dict, list, tuple)):
        return 1
    if id(value) not in known:
        known[id(value)] = _MOST_PARTS
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_parts(item, known) for item in inner)
    return known[id(value)]


class Which:
    """Tells a chunk from others of its minion, on both sides alike: by ID and function, and by the name as well
    where either side has several of these (``names:``), so that one name more is one state more.
    """

    def __init__(self, old: Sequence[Chunk], new: Sequence[Chunk]) -> None:
        counts = (Counter(c.identity[:OF_STATE] for c in side) for side in (old, new))
        self.several = {short for side in counts for short, n in side.items() if n > 1}

    def __call__(self, chunk: Chunk) -> str:
        """The same text for a state of either side; others have another."""
        short = chunk.identity[:OF_STATE]
        return (chunk.identity if short in self.several else short) or chunk.key
