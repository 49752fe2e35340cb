"""The file by which the salt-master's reactor asks us, and who else listens to requests from outside.

Pure: it knows how Salt wants to be written to, and nothing about what is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saltbranch.schedule.texts import HEADER, PYTHON_LINE

OPTION_FILE = "saltbranch-webhook.conf"
REACTOR_FILE = "saltbranch-webhook.sls"
BASE = "salt/netapi/hook"
TAG = f"{BASE}/saltbranch"
API = "rest_cherrypy"
_HEAD = f"{HEADER} (install); to take it away: saltbranch uninstall webhook\n"
_WILD = "*?["


def reactor(config_path: str) -> str:
    """The reactor file.

    It is Python, so that nothing is made into text and read again: in Jinja or YAML, a stranger's request would
    become part of a program.
    """
    return f"""\
{PYTHON_LINE}{_HEAD}from saltbranch.webhook.reaction import react


def run():
    return react(data, {config_path!r})
"""


def listens_outside(tag: str) -> bool:
    """Whether a reactor for the glob `tag` may be called by a request to any ``/hook`` URL but ours.

    What stands before its first wildcard decides: Salt's ``*`` matches slashes, too.
    """
    if tag == TAG:
        return False
    first = min((place for place in map(tag.find, _WILD) if place >= 0), default=-1)
    if first < 0:
        return tag == BASE or tag.startswith(f"{BASE}/")
    start = tag[:first]
    return start.startswith(BASE) or BASE.startswith(start)


def url(opts: Mapping[str, Any], host: str) -> str:
    """Where a request to us goes, by the options of salt-api; empty where that is not configured.

    host: of this machine, as others know it.
    """
    api = opts.get(API)
    if not isinstance(api, Mapping) or not api.get("port"):
        return ""
    scheme = "http" if api.get("disable_ssl") else "https"
    places = [str(api.get(key) or "").strip("/") for key in ("root_prefix", "webhook_url")]
    path = "/".join(part for part in (places[0], places[1] or "hook", "saltbranch") if part)
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{api['port']}/{path}"
