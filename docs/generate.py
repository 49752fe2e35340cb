"""Write the parts of the reference that the code knows better than anybody: verbs, check rules, configuration keys,
exit codes. Two pages are made whole; in the others it is what stands between two comments.

``./dev run python docs/generate.py`` writes them; a test fails when they are stale.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import typer.main

from saltbranch.actions.doctor import DoctorData
from saltbranch.actions.install import InstallData
from saltbranch.actions.install_webhook import WebhookData
from saltbranch.base.errors import EXIT_CODES
from saltbranch.check.catalogue import RULES
from saltbranch.cli import app as command_line
from saltbranch.cli import json_shapes
from saltbranch.config.keys import MACHINE_KEYS, FileModel, SaltenvModel

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Made by docs/generate.py: edit the code, not this page. -->"
_VERBS = """\
Every verb has `--help` with examples, `--config FILE` and `--json`. Shell completion:
`saltbranch --install-completion`. `--config` and `--json` may stand before the verb, too, and
`saltbranch help VERB` is the same as `saltbranch VERB --help`."""
_RULES = """\
What `check` finds. An error breaks the highstate or shows a secret; a warning is wrong more often
than not; a note never changes the exit code. What is meant to be so stands in
[`.saltbranch-check.yaml`](check.md#what-counts-and-what-is-allowed)."""
_WIDTH = 100
# Verb -> the shape of what its --json writes.
SHAPES: dict[str, Any] = {
    **json_shapes.SHAPES,
    "doctor": DoctorData,
    "install": InstallData,
    "install-webhook": WebhookData,
}


def pages() -> dict[Path, str]:
    """Path of each generated page, and what it has to say."""
    configuration = REFERENCE / "configuration.md"
    codes = REFERENCE / "exit-codes.md"
    keys = {f.encode_name: _row(f) for f in msgspec.structs.fields(FileModel)}
    model = [row for name, row in keys.items() if name not in (*MACHINE_KEYS, "saltenvs")]
    saltenv = [_row(f, "saltenvs.<name>.") for f in msgspec.structs.fields(SaltenvModel)]
    text = configuration.read_text()
    text = _filled(text, "keys of the machine", _table("machine", [keys[k] for k in MACHINE_KEYS]))
    text = _filled(text, "keys of the model", _table("model", [*saltenv, *model]))
    return {
        REFERENCE / "verbs.md": _verbs(),
        REFERENCE / "rules.md": _rules(),
        configuration: text,
        codes: _filled(codes.read_text(), "codes", _exit_codes()),
        **{
            REFERENCE / "schemas" / f"{name}.json": _schema(shape) for name, shape in SHAPES.items()
        },
    }


def _schema(shape: Any) -> str:
    """A JSON schema of what a verb writes. A later version may have more keys, so others are allowed."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if isinstance(shape, tuple):
        found, parts = msgspec.json.schema_components(shape)
        text: dict[str, Any] = {"anyOf": list(found), "$defs": parts}
    else:
        text = msgspec.json.schema(shape)
    return json.dumps({**head, **text}, indent=2) + "\n"


def _filled(page: str, name: str, lines: list[str]) -> str:
    """`page` with `lines` between the two comments called `name`. Raises ValueError where they are not there once."""
    begin = f"<!-- {name}: made by docs/generate.py -->"
    end = f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return "\n".join([before + begin, "", *lines, "", end + after])


def _table(whose: str, rows: list[str]) -> list[str]:
    return [f"| key of the {whose} | default | |", "|---|---|---|", *rows]


def _row(field: Any, above: str = "") -> str:
    """A key: its name, its default, and what it is for."""
    meta = field.type.__metadata__[0]
    default = (meta.extra or {}).get("default") or _default(field)
    text = re.sub(r"`([^`]*)\|([^`]*)`", r"<code>\1&#124;\2</code>", meta.description)
    cells = (f"`{above}{field.encode_name}`", default, text)
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _default(field: Any) -> str:
    """A default as one writes it in YAML; empty where there is none."""
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is None or value is msgspec.NODEFAULT or isinstance(value, msgspec.Struct):
        return ""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _exit_codes() -> list[str]:
    return ["| code | |", "|--:|---|", *(f"| {n} | {text} |" for n, text in EXIT_CODES.items())]


def _rules() -> str:
    rows = [
        f"| `{r.id}` | {r.severity} | {_cell(r.title)} | {_cell(r.fix)} |"
        for r in sorted(RULES.values(), key=lambda r: r.id)
    ]
    head = ["| rule | severity | what it finds | what usually fixes it |", "|---|---|---|---|"]
    return "\n".join(["# Check rules", "", NOTE, "", _RULES, "", *head, *rows, ""])


def _verbs() -> str:
    lines = ["# All verbs and options", "", NOTE, "", _VERBS]
    root: Any = typer.main.get_command(command_line.build())
    panel = ""
    for name in root.list_commands(None):
        command = root.commands[name]
        if command.rich_help_panel != panel:
            panel = command.rich_help_panel
            lines += ["", f"## {panel}"]
        parts = getattr(command, "commands", None)
        for words, one in (
            [(f"{name} {n}", c) for n, c in parts.items()] if parts else [(name, command)]
        ):
            lines += ["", f"### {words}", "", *_verb(words, one)]
    return "\n".join([*lines, ""])


def _verb(words: str, command: Any) -> list[str]:
    lines: list[str] = []
    for part in inspect.cleandoc(command.callback.__doc__ or "").split("\n\n"):
        if part.startswith("\b"):
            _, title, *examples = part.split("\n")
            text = textwrap.dedent("\n".join(examples))
            lines += [title, "", "```text", *text.split("\n"), "```", ""]
        else:
            lines += [*_wrapped(part), ""]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join([*(f"{_metavar(p)}" for p in arguments), "[OPTIONS]"])
    lines += ["```text", f"saltbranch {words} {usage}", "```", "", "| | |", "|---|---|"]
    lines += [f"| `{_metavar(p)}` | {_help(p)} |" for p in arguments if p.help]
    for option in options:
        names = ", ".join(
            f"`{name}`" for name in sorted([*option.opts, *option.secondary_opts], key=_order)
        )
        value = "" if option.is_flag or option.count else f" `{_metavar(option)}`"
        lines.append(f"| {names}{value} | {_help(option)} |")
    return lines


def _order(name: str) -> tuple[bool, int]:
    """Long names first, as they are written in the documents."""
    return not name.startswith("--"), 0


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or (parameter.name or "").upper())


def _help(parameter: Any) -> str:
    default = parameter.default
    shown = getattr(parameter, "show_default", False) and isinstance(default, str | int | float)
    if shown and not isinstance(default, bool):
        return f"{_cell(parameter.help)} Default: `{default}`."
    return _cell(parameter.help or "")


def _cell(text: str) -> str:
    """`text` as one cell of a table; what stands in capitals or has options' form stays plain."""
    one = " ".join(text.split())
    return re.sub(r"([|*_<])", r"\\\1", one)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False
    )


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
