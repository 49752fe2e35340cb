"""Whether a push that a git server announces starts a sync, and a stranger's request does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saltbranch.doctor.finding import Finding

_WHY = "A push is served only when the timer's next sync comes."


def tried(
    url: str, *, problem: str, status: int, arrived: bool, believed: bool
) -> Iterator[Finding]:
    """A ping that was sent to `url`, empty where salt-api is not set up. status: of HTTP.

    arrived: the reactor believed the signed one; believed: the other one, too.
    """
    if believed:
        yield Finding(
            "webhook-open",
            "error",
            f"a request to {url} that no secret signed was believed",
            "Anybody who reaches salt-api can start a sync.",
            "is the reactor file the one of this saltbranch? saltbranch install webhook; then restart the salt-master",
        )
    if arrived:
        return
    what = f"a signed request to {url} did not arrive"
    fix = "restart the salt-master, which reads its reactors at its start only; its log says more"
    if not url:
        what = "the webhook is installed, and salt-api is not set up (rest_cherrypy:)"
        fix = "set up salt-api, or saltbranch uninstall webhook"
    elif problem:
        what = f"salt-api does not answer at {url}: {problem}"
        fix = "start salt-api (systemctl restart salt-api); its log says what is in the way"
    elif status == 401:
        what = f"salt-api asks for a login at {url}"
        fix = "add webhook_disable_auth: True to rest_cherrypy:, and restart salt-api"
    elif status != 200:
        what = f"salt-api answers {status} at {url}"
        fix = "is webhook_url: of rest_cherrypy: right? The log of salt-api says more"
    yield Finding("webhook-silent", "warning", what, _WHY, fix)


def secret(problem: str, hint: str) -> Iterator[Finding]:
    """The file of the secrets cannot be used."""
    yield Finding("webhook-secret", "error", problem, f"No request counts. {_WHY}", hint)


def others(tags: Sequence[str]) -> Iterator[Finding]:
    """Reactors of others that a request without a login reaches."""
    if tags:
        yield Finding(
            "webhook-reactors",
            "note",
            f"anybody who reaches salt-api calls these reactors: {', '.join(tags)}",
            "webhook_disable_auth opens all /hook URLs.",
            "let each of them prove who sent the request, or let a proxy pass on /hook/saltbranch only",
            items=tuple(tags),
        )
