"""Only words that are public are told: whatever form a value has, and nothing else is hidden."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import string
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from saltbranch.compiler import hiding
from saltbranch.compiler.hiding import Hider, Known, stands_in, unhidden, words_of
from saltbranch.compiler.inside.mask import Mask, secrets_of, shown_of

MASK = Mask(b"k" * 32)
STATES = "nginx:\n  service.running:\n    - name: {{ pillar.db.pw }}\n    - worker: 12.04.1 consul.agent\n"
# In a process of its own, as in a worker: other tests load modules whose names would be words.
_ASKED = """
import json, salt.loader, salt.pillar, salt.state
from saltbranch.compiler import message_words
print(json.dumps(sorted(message_words.salts_words())))
"""
SALTS = frozenset(
    json.loads(
        subprocess.run(
            [sys.executable, "-c", _ASKED],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
    )
)

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "reversed": lambda s: s[::-1],
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "md5": lambda s: hashlib.md5(s.encode()).hexdigest(),
    "url": quote,
    "html": html.escape,
    "json": json.dumps,
    "repr": repr,
    "yaml": lambda s: s.replace("'", "''"),
    "without its first sign": lambda s: s[1:],
    "cut": lambda s: s[: len(s) // 2 + 3],
    "taken apart": " ".join,
    "taken apart by dashes": "-".join,
    "in pairs": lambda s: ":".join(s[n : n + 2] for n in range(0, len(s), 2)),
    "in threes": lambda s: "_".join(s[n : n + 3] for n in range(0, len(s), 3)),
    "with more around it": lambda s: f"x{s}y",
    "a tag": lambda s: f"!{s}",
    "percent": lambda s: "".join(f"%{ord(c):02x}" for c in s),
    "numbers": lambda s: ", ".join(str(ord(c)) for c in s),
}
passwords = st.text(string.ascii_letters + string.digits, min_size=8, max_size=24).filter(
    lambda s: any(c.isdigit() for c in s) and any(c.isalpha() for c in s)
)
phrases = st.lists(passwords, min_size=2, max_size=4).map(" ".join)
marked = st.text(string.ascii_letters + string.digits + string.punctuation, min_size=8, max_size=24)
places = st.sampled_from(
    (
        "Rendering SLS 'test:app' failed: Jinja error: no {}; line 3",
        "{}",
        "ID '{}' in SLS 'app' is not formed as a list",
        "code of the branch tried to read /root/{}",
        "user-{}",
        "/etc/{}/x.conf",
    )
)


def hider(values: str = "", **known: object) -> Hider:
    more = {"words": SALTS, "read": lambda: STATES, **known}
    return Hider(MASK, Known(**more), secrets_of({"v": values} if values else {}))  # type: ignore[arg-type]


def told(text: str, using: Hider, states: str = STATES) -> str:
    names = {MASK.digest(word): word for word in words_of(states)}
    return unhidden(using.hide(text), names.get)


def pieces(text: str, size: int = 6) -> set[str]:
    return {text[n : n + size] for n in range(max(1, len(text) - size + 1))}


def parts_told(secret: str, form: str, place: str) -> list[str]:
    """What of a secret is told beyond the three signs in a row that always may be."""
    shown = FORMS[form](secret)
    said = told(place.format(shown), hider(secret)).replace("***", "\0")
    return [p for p in pieces(shown) if sum(map(str.isalnum, p)) > 3 and p in said]


@example("0000000000000000NoBy", "in pairs", "no {}; line 3")
@given(passwords | phrases, st.sampled_from([*FORMS]), places)
def test_no_form_of_a_secret_is_told(secret: str, form: str, place: str) -> None:
    assert parts_told(secret, form, place) == []


@given(marked, st.sampled_from(["as it is", "json", "repr", "yaml"]), places)
def test_nor_is_one_with_signs_in_it_as_messages_have_it(
    secret: str, form: str, place: str
) -> None:
    shown = FORMS[form](secret)
    whole = shown[1:-1] if form in ("json", "repr") else shown
    assume(whole.rstrip("0123456789") not in SALTS)  # Salt's own word is public
    said = told(place.format(shown), hider(secret))
    assert whole not in said


@given(
    st.lists(st.sampled_from(sorted(words_of(STATES) | {"line 12", "1", "web", "abc"})), max_size=8)
)
def test_what_is_public_is_told(words: list[str]) -> None:
    text = "; ".join(words)
    run = sum(len(w) for w in words if w in ("1", "web", "abc"))
    if run < 4:
        assert told(text, hider("hunter2Secret9x")) == text


def test_words_are_public_where_they_stand_for_themselves() -> None:
    using = hider(
        names="salt/consul/agent.sls", own=lambda: "Debian\nnodes:db7", words=frozenset(("failed",))
    )
    for text, shown in (
        ("Debian failed", "Debian failed"), ("Debia failed", "*** failed"), ("nginxes", "***"),
        ("nginx-7 worker12 worker1234", "nginx-7 worker12 ***"), ("nodes db7", "nodes db7"),
        ("10.0.0.17", "***.***.***.***"), ("1.2.3", "1.2.3"), ("port-8081", "***-***"),
        ("12.04.1", "12.04.1"), ("consul.agent", "consul.agent"), ("failed; 48151", "failed; ***"),
    ):  # fmt: skip
        assert told(text, using) == shown, text
    assert told("line 48151, column 7", hider()) == "line 48151, column 7"
    assert told("line 481516", hider()) == "line ***"


def test_a_value_is_no_number_of_a_line_and_no_numbered_word() -> None:
    using = Hider(MASK, Known(SALTS, read=lambda: STATES), frozenset({"48151", "nginx123"}))
    assert (
        told("nginx123 nginx124; line 48151; line 48152", using)
        == "*** nginx124; line ***; line 48152"
    )


def test_a_value_of_several_words_is_hidden_whole() -> None:
    said = told("no nginx service running here", hider("nginx service running"))
    assert said == "no *** here"
    assert (
        told("no nginx service", hider("nginx service", names="a nginx service"))
        == "no nginx service"
    )


def test_a_word_of_the_other_tree_is_put_back() -> None:
    using = hider("postgres")
    assert told("no postgres1", using) == "no ***"
    assert told("no postgres1", using, "x: postgres\n") == "no postgres1"
    assert told("no postgres", using, "x: postgres\n") == "no postgres"


@given(st.text(), st.text())
def test_a_word_stands_in_a_text_that_has_it_as_a_word(text: str, other: str) -> None:
    for word in hiding._WORDS.findall(text):
        assert stands_in(word, text)
    for word in words_of(text):
        if word.isalnum() and stands_in(word, other):
            assert word in other


@given(st.text(), st.lists(st.text(min_size=4), max_size=5), st.integers(0, 40))
def test_shortening_cuts_no_word_and_no_stand_in(text: str, values: list[str], most: int) -> None:
    whole = Hider(MASK, Known(), frozenset(values)).hide(text)
    cut = hiding.shortened(whole, most)
    assert whole.startswith(cut)
    assert len(unhidden(cut, lambda _: None)) <= most + 3
    assert cut.count("\0") % 2 == 0
    assert set(hiding._WORDS.findall(cut.replace("\0", " "))) <= {
        *hiding._WORDS.findall(whole.replace("\0", " "))
    }


def test_salts_words_are_those_of_messages() -> None:
    said = (
        "Referenced state does not exist for requisite require in state of SLS",
        "Jinja variable is undefined object has no attribute expected token end of print statement got",
        "Rendering SLS failed render error mapping values are not allowed in this context",
        "Specified SLS in saltenv is not available on the salt master or through a configured fileserver",
        "unsupported operand type for NoneType and str list index out of range No such file or directory",
        "ID in SLS contains multiple state declarations of the same type Detected conflicting IDs",
    )
    assert [w for text in said for w in text.split() if w not in SALTS] == []
    assert not SALTS & {"postgres", "hunter2", "password", "Debian", "nginx", "admin", "1234"}


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("web:*", {"name9"}), ("web:**", {"name9", "hunter2", "deep9"}), ("*", {"other9"}),
        ("**", {"name9", "hunter2", "deep9", "other9"}), ("web:auth:password", {"hunter2"}),
        ("web:*:password", {"hunter2"}), ("**:d", {"deep9"}), ("web", set()), ("w*", set()),
    ],
)  # fmt: skip
def test_a_star_of_shown_pillar_stays_within_a_key(pattern: str, shown: set[str]) -> None:
    pillar = {
        "web": {"name": "name9", "auth": {"password": "hunter2", "c": {"d": "deep9"}}},
        "o": "other9",
    }
    assert shown_of(pillar, [pattern]) == shown


_PIECES = st.sampled_from(
    [
        "nginx",
        "service",
        "ab",
        "x",
        "hunter",
        "12",
        "7",
        "_",
        ".",
        "-",
        " ",
        "!!!!",
        "\u00e9",
        "line",
        "\n",
    ]
)


@given(st.lists(_PIECES, max_size=9).map("".join), st.sets(_PIECES), st.sets(_PIECES))
def test_words_of_salt_are_told_as_if_each_was_looked_at(
    text: str, salts: set[str], values: set[str]
) -> None:
    hider = Hider(MASK, Known(words=frozenset(salts), read=lambda: "nginx x"), values)
    shown, at = "", 0
    for start, word, told in hider._judged(text, ""):
        shown, at = f"{shown}{text[at:start]}{told}", start + len(word)
    assert hider._words(text, "") == shown + text[at:]
