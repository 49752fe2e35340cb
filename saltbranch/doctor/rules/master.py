"""What in the salt-master's options lets saltenvs reach into one another, or hides what is served.

Each rule takes the options as Salt made them of all files, and yields findings. The sources of the
rules are named at each; `state.py` and the like are places in the salt package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from saltbranch.base.errors import ConfigError
from saltbranch.base.text import some
from saltbranch.config import minions as targets
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import master_pillar as pillar
from saltbranch.doctor.rules import master_roots as roots
from saltbranch.doctor.rules import master_tops as tops
from saltbranch.doctor.rules.seen_master import Master, texts
from saltbranch.salt_master import top_file


def check(master: Master) -> list[Finding]:
    """Everything that the rules below find."""
    return [finding for rule in RULES for finding in rule(master)]


def jinja_syntax(master: Master) -> Iterator[Finding]:
    """utils/templates.py, render_jinja_tmpl."""
    for option, key, value in top_file.foreign_syntax(master.opts):
        yield Finding(
            "jinja-syntax",
            "error",
            f"{master.seen(option)}: {key} is {value!r}",
            "Jinja does not understand the generated top files with it, so no minion gets any pillar.",
            f"remove {key} from {option}; what is about white space may stay",
        )


def renderers(master: Master) -> Iterator[Finding]:
    """template.py, check_render_pipe_str: a renderer that is not allowed is left out of the
    pipe.
    """
    blocked = set(texts(master.opts.get("renderer_blacklist"))) & {"jinja", "json"}
    if allowed := texts(master.opts.get("renderer_whitelist")):
        blocked |= {"jinja", "json"} - set(allowed)
    if blocked:
        options = ("renderer_blacklist", "renderer_whitelist")
        where = [place for option in options for place in master.places.get(option, ())]
        yield Finding(
            "renderers",
            "error",
            f"the renderers {some(sorted(blocked))} are not allowed ({some(where)})",
            why="The top files of saltbranch need jinja and json; without them no minion gets"
            " anything.",
            fix="allow jinja and json in renderer_whitelist and renderer_blacklist",
            items=tuple(sorted(blocked)),
        )


def dashed_options(master: Master) -> Iterator[Finding]:
    """Salt takes any key, and never looks at one that is written with dashes."""
    yield from dashed(master.places, master.known)


def dashed(places: Mapping[str, Sequence[str]], known: frozenset[str]) -> Iterator[Finding]:
    """Options whose name with underscores is one of `known`. places: option to the files that set
    it.
    """
    for key, files in places.items():
        right = key.replace("-", "_")
        if right != key and right in known and key not in known:
            yield Finding(
                "dashed-option",
                "warning",
                f"{key} in {some(files)} is not an option of Salt",
                why=f"Salt ignores it without a word; its name is {right}.",
                fix=f"rename it to {right}, if it is what you want",
                items=(key,),
            )


def nodegroups(master: Master) -> Iterator[Finding]:
    """Minions belong to a saltenv by id; a nodegroup may go by grains, which a minion chooses."""
    for saltenv, matchers in master.groups.items():
        where = f"{master.config}: saltenvs.{saltenv}.minions"
        try:
            targets.check_nodegroups(matchers, master.opts.get("nodegroups") or {}, where)
        except ConfigError as err:
            yield Finding(
                "nodegroup",
                "error",
                err.message,
                why="The saltenv, and with it the pillar of a minion, must not depend on its own word.",
                fix=err.hint,
                items=(saltenv,),
            )


def key_acceptance(master: Master) -> Iterator[Finding]:
    """Pillar is given out by id, and an id is worth what the acceptance of its key is worth."""
    for option in ("auto_accept", "open_mode"):
        if master.opts.get(option):
            yield Finding(
                "key-acceptance",
                "warning",
                master.seen(option),
                why="Whoever reaches the master can take a minion id of any saltenv, and gets its"
                " pillar.",
                fix=f"set {option}: False, and accept keys with salt-key",
                items=(option,),
            )


RULES = (
    tops.top_merging_strategy,
    tops.state_top_saltenv,
    tops.default_top,
    jinja_syntax,
    tops.env_order,
    pillar.pillarenv,
    pillar.pillarenv_from_saltenv,
    tops.state_top,
    pillar.pillar_merging,
    pillar.pillar_cache,
    tops.default_saltenv,
    roots.roots,
    roots.other_saltenvs,
    roots.literal_env,
    pillar.pillar_as_files,
    roots.file_server_backend,
    pillar.ext_pillar,
    tops.master_tops,
    roots.symlinks,
    roots.ignored_files,
    renderers,
    dashed_options,
    nodegroups,
    key_acceptance,
)
