"""URLs of repositories in one form, so that two spellings of one place are one, and compared by whole parts.

What is fetched is rebuilt from the parts that were compared: no URL is read here in one way and by git in another.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_PORTS: Final = {"ssh": "22", "https": "443", "http": "80", "git": "9418"}
_LOCAL: Final = "file"
_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
_USER: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~+-")
_PLAIN: Final = _USER | frozenset("/,=:@!$&'()*;")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_LONGEST: Final = 2000


class BadAddress(ValueError):
    """A URL that is not fetched from; the text says why, without the URL."""


class Address:
    """Where a repository is. path: its parts, percent-encoding undone. scp: written as ``user@host:path``.

    user, port: empty where there is none, or the default. password: of the URL, never to be shown.
    absolute: false for a path of ssh that begins in the home of its user.
    """

    __slots__ = ("absolute", "host", "password", "path", "port", "scheme", "scp", "user")

    def __init__(
        self,
        scheme: str,
        path: tuple[str, ...],
        *,
        host: str = "",
        port: str = "",
        user: str = "",
        password: str = "",
        scp: bool = False,
        absolute: bool = True,
    ) -> None:
        self.scheme = scheme
        self.path = path
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.scp = scp
        self.absolute = absolute

    @property
    def identity(self) -> str:
        """The same for all spellings of one place: what a mirror is named by."""
        user = f"{self.user}@" if self.user and self.scheme == "ssh" else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{self.host}{port}/{'/'.join(_bare(self.path))}"

    @property
    def url(self) -> str:
        """What git is given."""
        return self._text(self.password)

    @property
    def without_credentials(self) -> str:
        """What anybody may be given: ssh needs the user, and nothing else does."""
        if self.scheme == "ssh" or not (self.user or self.password):
            return self._text("")
        return Address(self.scheme, self.path, host=self.host, port=self.port).url

    @property
    def shown(self) -> str:
        """What people are shown."""
        return self._text("***" if self.password else "")

    @property
    def name(self) -> str:
        """The last part of the path, without ``.git``."""
        return (_bare(self.path) or ("",))[-1]

    def _text(self, password: str) -> str:
        if self.scheme == _LOCAL:
            return "/" + "/".join(self.path)
        user = f"{self.user}{f':{password}' if password else ''}@" if self.user else ""
        slash = "/" if self.absolute else ""
        if self.scp:
            return f"{user}{self.host}:{slash}{'/'.join(self.path)}"
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{self.host}{port}/{_quote('/'.join(self.path))}"

    def is_below(self, other: Address) -> bool:
        """Whether it is `other` or below it, whole parts of the path compared.

        A user of ssh has to be the same one: it decides with which rights one comes in.
        """
        mine, its = _bare(self.path), _bare(other.path)
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        if not same or (self.scheme == "ssh" and self.user != other.user):
            return False
        return mine[: len(its)] == its


def parse(url: str) -> Address:
    """The address that `url` stands for. Raises BadAddress."""
    if len(url) > _LONGEST:
        raise BadAddress("it is longer than a URL")
    if not url or url.startswith("-"):
        raise BadAddress("it is empty, or git would take it for an option")
    if url.startswith("/"):  # a folder of this machine may be called anything
        return Address(_LOCAL, _parts(url))
    if any(ord(c) <= 32 or ord(c) >= 127 or c in '\\"<>^`{|}' for c in url):
        raise BadAddress("it holds a space, a control character or one that no URL has")
    scheme, sign, rest = url.partition("://")
    if sign and scheme.replace("+", "").isalnum():
        return _of_url(scheme.lower(), rest)
    before = url.partition("/")[0]
    if "::" in before:
        raise BadAddress("it names a git remote helper, which may run commands")
    if ":" in before:
        return _of_scp(url)
    raise BadAddress("it is a path that depends on where git is run")


def _of_url(scheme: str, rest: str) -> Address:
    if scheme == _LOCAL:
        if not rest.startswith("/"):
            raise BadAddress("a file:// URL starts with file:/// and an absolute path")
        return Address(_LOCAL, _parts(_unquote(rest)))
    if scheme not in _PORTS:
        raise BadAddress(f"{scheme}:// is not fetched from (https, ssh, http, git and paths are)")
    if "?" in rest or "#" in rest:
        raise BadAddress("it holds '?' or '#'")
    where, _, path = rest.partition("/")
    login, _, place = where.rpartition("@")
    user, _, password = login.partition(":")
    host, port = _place(place)
    if scheme != "ssh" or not password:
        user, password = _unquote(user), _unquote(password)
    _check_login(user, password, ssh=scheme == "ssh")
    return Address(
        scheme,
        _parts(_unquote(path)),
        host=host,
        port="" if port == _PORTS[scheme] else port,
        user=user,
        password=password,
    )


def _of_scp(url: str) -> Address:
    place, _, path = url.partition(":")
    user, _, host = place.rpartition("@")
    _check_login(user, "", ssh=True)
    host, port = _place(host)
    if port:
        raise BadAddress("user@host:path has no port; write ssh://user@host:PORT/path")
    if host in _PORTS and not user:
        raise BadAddress(
            f"{host}: without // is no URL; write {host}://, or USER@{host}: for a host of that name"
        )
    return Address(
        "ssh", _parts(path), host=host, user=user, scp=True, absolute=path.startswith("/")
    )


def _check_login(user: str, password: str, *, ssh: bool) -> None:
    if user.startswith("-") or not set(user) <= _USER:
        raise BadAddress("the user in it is none")
    if password and (ssh or not set(password) <= _USER):
        raise BadAddress("the password in it is one that URLs cannot have")


def _place(place: str) -> tuple[str, str]:
    """Host and port."""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        good, host = set(host) <= frozenset("0123456789abcdefABCDEF:."), f"[{host.lower()}]"
        port = port.removeprefix(":")
    else:
        host, _, port = place.partition(":")
        host = host.lower().rstrip(".")
        good = bool(host) and host[0] not in "-." and set(host) <= _HOST
    if not good:
        raise BadAddress("the host in it is none")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BadAddress("the port in it is none")
    return host, port.lstrip("0")


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(part for part in path.split("/") if part)
    if any(part in (".", "..") for part in parts):
        raise BadAddress("its path holds '.' or '..'")
    if any(ord(c) < 32 or ord(c) == 127 for c in path):
        raise BadAddress("its path holds a control character")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path):
        raise BadAddress("its path is not UTF-8")
    if parts and parts[0].startswith("-"):
        raise BadAddress("its path starts with '-'")
    return parts


def _bare(path: tuple[str, ...]) -> tuple[str, ...]:
    """`path` without the ``.git`` that servers do not mind."""
    if path and path[-1] != ".git":
        return (*path[:-1], path[-1].removesuffix(".git"))
    return path[:-1]


def _unquote(text: str) -> str:
    """Percent-encoding undone, once."""
    first, *rest = text.split("%")
    data = bytearray(first.encode())
    for part in rest:
        if len(part) < 2 or not set(part[:2]) <= _HEX:
            raise BadAddress("its percent-encoding is broken")
        data.append(int(part[:2], 16))
        data += part[2:].encode()
    if data.count(b"/") != text.count("/"):
        raise BadAddress("it holds an encoded '/'")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadAddress("its percent-encoding is not UTF-8") from None


def _quote(text: str) -> str:
    return "".join(
        c if c in _PLAIN else "".join(f"%{byte:02X}" for byte in c.encode("utf-8")) for c in text
    )


def one_word(entry: str) -> str:
    """A valid URL without spaces, for a list in one line: only a plain path may hold some."""
    return f"file://{_quote(entry)}" if entry.startswith("/") and _quote(entry) != entry else entry


def is_allowed(address: Address, listed: Iterable[str]) -> bool:
    """Whether `address` is one of the URLs `listed`, which are valid, or below one of them."""
    return any(address.is_below(parse(entry)) for entry in listed)


def is_relative(url: str) -> bool:
    """Whether git takes `url` in .gitmodules as relative to the URL of the repository (gitmodules(5))."""
    return url.startswith(("./", "../"))


def resolve(url: str, remote: str) -> str:
    """`url` of a .gitmodules, as git resolves it where the repository itself came from `remote`.

    Raises BadAddress.
    """
    if not is_relative(url):
        return url
    base, rest, sign = remote.removesuffix("/"), url, "/"
    if not base:
        raise BadAddress("it is relative, and the repository has no remote")
    while is_relative(rest):
        if rest.startswith("./"):
            rest = rest[2:]
            continue
        rest = rest[3:]
        for separator in ("/", ":"):
            if separator in base:
                base = base.rpartition(separator)[0]
                sign = ":" if separator == ":" else sign
                break
        else:
            raise BadAddress(f"it leads out of {remote!r}")
    return f"{base}{sign}{rest}".removesuffix("/")
