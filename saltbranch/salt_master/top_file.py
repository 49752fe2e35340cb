"""The text of the generated top files: which minions a saltenv has, and that it has no others.

A generated ``top.sls`` stands in a folder that comes first in the roots of its saltenv, for
states and for pillar alike, so Salt finds it before the branch's own ``top.sls``. Beside it
stands a symlink named `BRANCH_TOP` that leads to the branch's own top file, which the generated
one shadows. The text depends on the configuration alone: a branch may change as it likes.

A minion that two saltenvs claim gets nothing from either, and an error that names both.

Where there are labs, all top files read one more file, by a symlink beside each named `LENT`: which minions have a
lab instead of their own saltenv (labs/lent.py). Salt renders the top files of the saltenvs one after another, so a
minion that is being moved gets an error from all of them for a while. In `lab_open` labs a minion of the lab's
saltenv is let in where it asks for the lab: by ``opts['saltenv']`` for states, which only an argument or its own
configuration sets, and by ``opts['pillarenv']`` for pillar, which the master sets to what it was asked for.

Order matters in the template. It looks first whether the minion belongs to the saltenv, and only
then at the branch: a minion without a pinned pillarenv has the top files of all saltenvs rendered
(``Pillar.get_tops``), and a broken branch must not reach the minions of another one.

Things in Salt that the template has to go round:

* Membership goes by ``opts['id']``. The renderer of ``salt.pillar.Pillar`` has the minion's id
  there, as the master authenticated it. The functions do not: a master runs with ``file_client:
  local``, so ``Pillar.__init__`` loads them with the master's own options and a bare
  ``salt['match.glob'](target)`` compares with the master's id. Hence the second argument.
* ``include`` is used and not ``slsutil.renderer``, which renders with the same wrong options and
  looks in ``file_roots`` even for pillar. The price: a branch's top file has to be Jinja and YAML
  (or JSON). ``#!py`` and the like are refused, because their text can be valid YAML with no
  section in it, an empty success.
* Targets go out under the name and match type they came in with. Wrapping them in a compound
  expression would split those that hold white space or parentheses.
* In a state top file an item ``{saltenv: sls}`` takes the sls from that saltenv
  (``BaseHighState.top_matches``), so items are looked through and not only sections.
* JSON goes out, not YAML: YAML folds some Unicode line ends and limits the length of a key.
* Options of Salt's (``jinja_env``, ``jinja_trim_blocks``) decide which white space around tags goes
  out. All of it but the renderer's line is stripped, and the end of that line is written by an
  expression: a first line that runs on into the JSON is an empty top file, without any error.
  Options that change what a tag looks like are refused beforehand (`foreign_syntax`).

A branch's top file that fails to render stays an error. In pillar it is in ``_errors`` and
``state.apply`` refuses to run; for states Salt logs it and finds no top file, which
``state.apply`` reports as failed with nothing run.

What this does not defend against: the Jinja of a pillar runs on the master with the master's
rights, so whoever may write to a branch's pillar can read every file the master can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from saltbranch.config.minions import Matcher
from saltbranch.config.roots import PILLAR, STATES

BRANCH_TOP = "branch_top.jinja"
"""Name of the symlink to the branch's own top file; not ``.sls``, lest it be a state itself."""

LENT = "lent_minions.jinja"
"""Name of the symlink to the file that says which minions are lent to labs."""

# How the errors go on that the template raises about a branch's top file; read again in `pillar_errors`.
NO_TARGETS = "has no targets"
NO_SECTIONS = "is not a mapping of sections"
OTHER_RENDERER = "must be jinja|yaml"

_HEAD = """\
#!jinja|json
{#- Written by saltbranch and overwritten by it. It gives the sls files that the branch's own top
    file names to the minions of this saltenv, and to no others. When Salt blames a line of this
    file, it may mean the line of that number in the branch's top file. #}
"""

# Whether two globs or expressions can meet cannot be decided beforehand, but here there is one id.
_ONE_CLAIM = """\
{%- if own in claims and claims | length > 1 %}
  {{- raise('minion ' ~ minion ~ ' is claimed by more than one saltenv: ' ~ claims | join(', ')) }}
{%- endif %}
"""

# A nodegroup may be made of grains or pillar, which are the minion's own word; only a minion that
# it lets in is told so. The expression is Salt's TARGET_REX (salt/utils/minions.py) less the
# engines that go by minion id.
_NODEGROUPS = """\
{%- macro not_by_id(group, seen) %}
  {%- set words = opts['nodegroups'].get(group, []) %}
  {%- for word in (words.split() if words is string else words) | map('string') %}
    {%- if word is match('([GPIJ].?|[SRTM])@') %}{{ word }} {% endif %}
    {%- if word.startswith('N@') and word[2:] not in seen %}
      {{- not_by_id(word[2:], seen + [word[2:]]) }}
    {%- endif %}
  {%- endfor %}
{%- endmacro %}
{%- for group in groups if salt['match.compound'](['N@' ~ group], minion) %}
  {%- set words = not_by_id(group, []) %}
  {%- if words %}
    {{- raise('nodegroup ' ~ group ~ ' of saltenv ' ~ own ~ ' does not go by minion id alone: '
              ~ words) }}
  {%- endif %}
{%- endfor %}
"""

# Of a minion that is lent nothing counts but that, while it is of the saltenv that lent it.
_LENT_MINIONS = (
    f"""\
{{%- set text %}}{{% include '{LENT}' %}}{{% endset %}}
"""
    + """\
{%- set labs = text | load_json %}
{%- if minion in labs['moving'] %}
  {{- raise('minion ' ~ minion ~ ' is being moved to or from a lab: it gets nothing until that is done, try again in'
            ~ ' half a minute') }}
{%- endif %}
{%- set lab = labs['lent'].get(minion) %}
{%- if lab and claims != [labs['labs'][lab]['saltenv']] %}
  {{- raise('minion ' ~ minion ~ ' is lent to ' ~ lab ~ ' and is not of saltenv ' ~ labs['labs'][lab]['saltenv']) }}
{%- endif %}
{%- if lab %}
  {%- set claims = [lab] %}
"""
)
_OPEN_LAB = """\
{%- elif own in labs['labs'] and labs['labs'][own]['open'] and opts.get(asked_by) == own
         and claims == [labs['labs'][own]['saltenv']] %}
  {%- set claims = [own] %}
"""
_LAB_SECTIONS = """\
{%- set sections = ['base', saltenv, own, labs['labs'][own]['saltenv']] if own in claims else [] %}
"""
_ASKED_BY = {STATES: "saltenv", PILLAR: "pillarenv"}

_PAGES = (
    """\
{%- set pages = [] %}
{%- set queue = [branch_top] if own in claims else [] %}
{%- for file in queue %}
  {%- if file == branch_top %}
    {%- set text %}{% include file ignore missing with context %}{% endset %}
  {%- else %}
    {%- set text %}{% include [file ~ '.sls', file ~ '/init.sls'] with context %}{% endset %}
  {%- endif %}
  {%- set renderer = (text ~ '\\n').splitlines()[0] | replace(' ', '') | trim %}
  {%- if renderer.startswith('#!') and renderer not in
         ('#!jinja|yaml', '#!yaml', '#!yaml_jinja', '#!jinja|json', '#!json') %}
    {{- raise('the top file of saltenv ' ~ own ~ ' """
    + OTHER_RENDERER
    + """: ' ~ renderer) }}
  {%- endif %}
  {%- set page = text | load_yaml %}
  {%- if page is mapping %}
    {%- do pages.append(page) %}
    {%- for sls in page.get('include', []) if sls.replace('.', '/') not in queue + ['top'] %}
      {%- do queue.append(sls.replace('.', '/')) %}
    {%- endfor %}
  {%- elif page is not none %}
    {{- raise('the top file of saltenv ' ~ own ~ ' """
    + NO_SECTIONS
    + """') }}
  {%- endif %}
{%- endfor %}
"""
)
_SECTIONS = "{%- set sections = ['base', saltenv, own] %}\n"
_ROLES = (
    """\
{%- set roles = {} %}
{%- set types = {} %}
{%- for section in sections | unique %}
  {%- for page in pages if section in page %}
    {%- if page[section] is not mapping %}
      {{- raise('section ' ~ section ~ ' of the top file of saltenv ' ~ own ~ ' """
    + NO_TARGETS
    + """') }}
    {%- endif %}
    {%- for target, items in page[section].items() %}
      {%- set where = 'target ' ~ target ~ ' in the top file of saltenv ' ~ own %}
      {%- if items is string or (items is mapping and items) or items is not sequence %}
        {{- raise(where ~ ' has no list') }}
      {%- endif %}
      {%- set kept = roles.setdefault(target, []) %}
      {%- set matches = ['compound'] %}
      {%- for item in items %}
        {%- if item is string %}
          {%- do kept.append(item) %}
        {%- elif item is not mapping %}
          {{- raise(where ~ ' has an item that is not an sls name: ' ~ item) }}
        {%- endif %}
        {%- for key, value in (item.items() if item is mapping else []) %}
          {%- if key in ('match', 'order', 'ignore_missing') %}
            {%- do kept.append({key: value}) %}
            {%- if key == 'match' and value is string %}{% do matches.append(value) %}{% endif %}
          {%- elif key in sections and value is string %}
            {%- do kept.append(value) %}
          {%- endif %}
        {%- endfor %}
      {%- endfor %}
      {%- set type = matches[-1] %}
      {%- if types.setdefault(target, type) != type %}
        {{- raise(where ~ ' has two match types: ' ~ type ~ ' and ' ~ types[target]) }}
      {%- endif %}
    {%- endfor %}
  {%- endfor %}
{%- endfor %}
{{- '\\n' }}{{ ({own: roles} if roles else {}) | json(sort_keys=False) }}
"""
)

# What the template is written in (jinja2/defaults.py). The names are those of jinja2.Environment, and
# salt/utils/templates.py takes them in any case.
_SYNTAX = {
    "block_start_string": "{%",
    "block_end_string": "%}",
    "variable_start_string": "{{",
    "variable_end_string": "}}",
    "comment_start_string": "{#",
    "comment_end_string": "#}",
    "line_statement_prefix": None,
    "line_comment_prefix": None,
}


def foreign_syntax(opts: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    """Salt's options that give Jinja another syntax than the generated top files have: option, key, value."""
    for option in ("jinja_env", "jinja_sls_env"):
        settings = opts.get(option)
        for key, value in settings.items() if isinstance(settings, dict) else ():
            if _SYNTAX.get(str(key).lower(), value) != value:
                yield option, str(key), value


_TAGS = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
# Through functions and options a template may come to anything.
_ANYTHING = r"\b(?:salt|opts)\b|__"
_OPTIONS = re.compile(r"\bopts\b")


def may_ask(text: str, words: str) -> bool:
    """Whether what the template `text` renders to may depend on `words`, a regular expression such as ``pillar``.

    Only what stands in Jinja's tags counts. Code in another language may depend on anything.
    """
    asks = re.compile(rf"{words}|{_ANYTHING}")
    return text.startswith("#!py") or any(map(asks.search, _TAGS.findall(text)))


def asks_options(text: str) -> bool:
    """Whether the template `text` reads the options of whoever renders it; code may have them as ``__opts__``."""
    tags = _TAGS.findall(text)
    return "__opts__" in text or any(_OPTIONS.search(tag) for tag in tags)


def render_top(
    saltenv: str, groups: Mapping[str, Sequence[Matcher]], *, has_labs: bool = False
) -> str:
    """Return the ``top.sls`` of a saltenv, the same text for its states and its pillar.

    groups: the minions of every saltenv, this one among them. has_labs: some of them may be lent.
    """
    nodegroups = [m.target for m in groups[saltenv] if m.kind == "nodegroup"]
    return "".join(
        (
            *_start(saltenv, groups),
            f"{_LENT_MINIONS}{_END}" if has_labs else "",
            f"{{%- set groups = {_literals(nodegroups)} %}}\n{_NODEGROUPS}" if nodegroups else "",
            _PAGES,
            _SECTIONS,
            _ROLES,
        )
    )


def render_lab_top(lab: str, groups: Mapping[str, Sequence[Matcher]], kind: str) -> str:
    """Return the ``top.sls`` of a lab for its states or its pillar; the sections of the saltenv that it is for count.

    groups: as for `render_top`, without the labs.
    """
    nodegroups = [m.target for all_of in groups.values() for m in all_of if m.kind == "nodegroup"]
    names = f"{_literals(dict.fromkeys(nodegroups))} if own in claims else []"
    return "".join(
        (
            *_start(lab, groups),
            f"{{%- set asked_by = {_literal(_ASKED_BY[kind])} %}}\n",
            f"{_LENT_MINIONS}{_OPEN_LAB}{_END}",
            f"{{%- set groups = {names} %}}\n{_NODEGROUPS}" if nodegroups else "",
            _PAGES,
            _LAB_SECTIONS,
            _ROLES,
        )
    )


_END = "{%- endif %}\n"


def _start(own: str, groups: Mapping[str, Sequence[Matcher]]) -> Iterator[str]:
    yield _HEAD
    yield f"{{%- set branch_top = {_literal(BRANCH_TOP)} %}}\n"
    yield f"{{%- set own = {_literal(own)} %}}\n"
    yield "{%- set minion = opts['id'] %}\n"
    yield "{%- set claims = [] %}\n"
    yield from (_claim(name, matchers) for name, matchers in groups.items() if matchers)
    yield _ONE_CLAIM


def _claim(saltenv: str, matchers: Sequence[Matcher]) -> str:
    tests = "\n    or ".join(_test(matcher) for matcher in matchers)
    return f"{{%- if {tests} %}}{{% do claims.append({_literal(saltenv)}) %}}{{% endif %}}\n"


def _test(matcher: Matcher) -> str:
    match matcher.kind:
        case "list":
            # One literal: of thousands Jinja would read each, for every pillar.
            return f"minion in {_literal(matcher.target)}.split(',')"
        case "nodegroup":
            return f"salt['match.compound']([{_literal('N@' + matcher.target)}], minion)"
        case "glob" | "pcre":
            return f"salt['match.{matcher.kind}']({_literal(matcher.target)}, minion)"


def _literals(texts: Iterable[str]) -> str:
    return f"[{', '.join(_literal(text) for text in texts)}]"


def _literal(text: str) -> str:
    """Return a Jinja string; whatever could end it or start a tag is in it as an escape.

    Jinja decodes its strings as Python's ``unicode-escape`` does (``jinja2/lexer.py``).
    """
    return f"'{''.join(_escaped(character) for character in text)}'"


def _escaped(character: str) -> str:
    if character.isascii() and character.isprintable() and character not in "'\"\\{}%#":
        return character
    return f"\\U{ord(character):08x}"
