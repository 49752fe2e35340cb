"""The process that evaluates top files: started by topmatch.py, for one minion and once.

A top file is a template, and evaluating it runs somebody else's code. So it happens here, with
limits on memory, time and files written; Salt's functions and filters are refused but for a few that
only look at the minion id and the grains. A top file that asks for more is not evaluated, and the
answer says so: no answer is better than a wrong one. The matching itself is Salt's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from saltbranch import saltmaster
from saltbranch.errors import SaltbranchError
from saltbranch.topmatch import Entry, Nodegroups, Question, TopView, needs, needs_of_words

_CPU_SECONDS = 20
_MEMORY = 2 << 30

# They look at the id and at the grains, and at nothing else of this machine.
_BY_ID = ("match.glob", "match.list", "match.pcre", "match.compound")
_BY_GRAINS = (
    "match.grain", "match.grain_pcre", "match.ipcidr", "grains.get", "grains.item", "grains.items",
    "grains.has_value", "grains.equals", "grains.filter_by", "grains.ls",
)  # fmt: skip
# Those of Salt's filters that only compute. `method_call`, for one, leads out of Jinja's sandbox.
_FILTER_NAMES = """
    append_dict_key_value avg base64_decode base64_encode compare_dicts compare_lists
    contains_whitespace difference exactly_n_true exactly_one_true extend_dict_key_value flatten
    from_entries human_to_bytes indent intersect ip_host ipaddr ipv4 ipv6 ipwrap is_hex is_ip
    is_ipv4 is_ipv6 is_iter is_list json_decode_dict json_decode_list json_encode_dict
    json_encode_list json_query max md5 min network_hosts network_size path_join quote
    regex_escape regex_match regex_replace regex_search sequence set_dict_key_value sha1 sha256
    sha512 skip sorted_ignorecase str_to_num strftime substring_in_list symmetric_difference
    to_bool to_camelcase to_entries to_num to_snake_case tojson traverse union unique
    update_dict_key_value yaml_dquote yaml_encode yaml_squote
"""
_FILTERS = frozenset(_FILTER_NAMES.split())


class NotEvaluated(SaltbranchError):
    """The top file asks for something that is not given to it here."""


class _Evaluation:
    """One of the two top files, in the process made for it."""

    def __init__(self, question: Question, kind: str, folder: str, opts: Mapping[str, Any]) -> None:
        states = kind == "states"
        self.kind = kind
        self.roots = question.states_roots if states else question.pillar_roots
        self.nodegroups: Nodegroups = opts.get("nodegroups") or {}
        self.grains = question.grains
        self.opts = opts
        self.question = question
        # A pillar top file is evaluated before there is any pillar, unless a foreign source comes
        # first.
        pillar = question.pillar if states else None if _pillar_comes_first(opts) else {}
        self.known = {n for n, v in (("grains", self.grains), ("pillar", pillar)) if v is not None}
        self.evaluator = saltmaster.TopEvaluator(
            opts,
            minion_id=question.minion_id,
            saltenv=question.saltenv,
            roots=list(self.roots),
            grains=question.grains or {},
            pillar=pillar or {},
            folder=folder,
            # In a pillar they are the master's own (pillar/__init__.py, Pillar.__init__).
            functions_id=question.minion_id if states else str(opts.get("id") or "master"),
        )
        self.jinja_pillar: object = _Refusing("pillar") if states or pillar is None else {}

    def view(self) -> TopView:
        path = f"{self.roots[0]}/top.sls"
        if not os.path.exists(path):
            return TopView(path, problem="it does not exist; run saltbranch sync")
        try:
            page = self.evaluator.render(path, self._context(), _FILTERS, _refusal)
            targets = (page or {}).get(self.question.saltenv) or {}
            if self.kind == "pillar":  # states are taken as they stand (state.py, top_matches)
                targets = dict(sorted(targets.items(), key=lambda pair: _order(pair[1])))
            entries = tuple(self._entry(str(t), items) for t, items in targets.items())
        except Exception as err:
            return TopView(path, problem=_reason(err))
        return TopView(path, entries)

    def _context(self) -> dict[str, object]:
        functions = {
            name: self._guarded(name, function)
            for name, function in self.evaluator.functions((*_BY_ID, *_BY_GRAINS)).items()
        }
        shown = {k: self.opts[k] for k in _OPTIONS if k in self.opts}
        opts = {
            **shown,
            "id": self.question.minion_id,
            "nodegroups": dict(self.nodegroups),
            **{
                k: self.evaluator.opts[k]
                for k in ("file_client", "file_roots", "pillar_roots", "cachedir")
            },
        }
        return {
            "opts": _Options(opts, self.opts),
            "salt": _Functions(functions),
            "grains": _Refusing("grains") if self.grains is None else dict(self.grains),
            "pillar": self.jinja_pillar,
        }

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, refused while what it needs is not known."""

        def call(*args: Any, **kwargs: Any) -> Any:
            wanted = frozenset({"grains"}) if name in _BY_GRAINS else frozenset()
            if name == "match.compound":
                target = args[0] if args else kwargs.get("tgt", "")
                words = target if isinstance(target, (list, tuple)) else str(target).split()
                wanted = needs_of_words(map(str, words), self.nodegroups)
            if missing := wanted - (self.known - {"pillar"}):
                raise NotEvaluated(f"its Jinja asks for {' and '.join(sorted(missing))}")
            return function(*args, **kwargs)

        return call

    def _entry(self, target: str, items: list[Any]) -> Entry:
        kinds = [str(i["match"]) for i in items if isinstance(i, dict) and "match" in i]
        kind = kinds[-1] if kinds else "compound"
        sls = tuple(item for item in items if isinstance(item, str))
        unknown = needs(target, kind, self.nodegroups) - self.known
        if unknown:
            why = f"depends on {' and '.join(sorted(unknown))}, not known here"
            return Entry(target, kind, sls, None, why)
        try:
            matches = self.evaluator.matches(target, items)
        except Exception as err:
            raise NotEvaluated(f"Salt fails on the target {target!r} ({kind}): {err}") from err
        return Entry(target, kind, sls, matches)


# Options of Salt that a template may read here, and those that Salt's renderer itself reads.
_OPTIONS = (
    "state_top", "renderer", "jinja_env", "jinja_sls_env", "jinja_trim_blocks",
    "jinja_lstrip_blocks", "allow_undefined", "_caller_cachedir",
)  # fmt: skip


class _Options(dict[str, Any]):
    """The few options that are given to a template; another one is refused and not just missing."""

    def __init__(self, shown: Mapping[str, Any], withheld: Mapping[str, Any]) -> None:
        super().__init__(shown)
        self._names = frozenset(str(name) for name in withheld)

    def __missing__(self, key: str) -> Any:
        raise NotEvaluated(f"its Jinja reads opts[{key!r}]")

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self and key in self._names:
            return self.__missing__(key)
        return super().get(key, default)


class _Functions:
    """What a template sees as ``salt``: ``salt['grains.get']`` and ``salt.grains.get`` alike."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], module: str = "") -> None:
        self._functions = functions
        self._module = module

    def __getitem__(self, name: str) -> Any:
        return self._functions.get(name) or _refusal(f"salt['{name}']")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._module:
            return self[f"{self._module}.{name}"]
        return _Functions(self._functions, name)

    def __contains__(self, name: object) -> bool:
        raise NotEvaluated(f"its Jinja asks whether salt has {name!r}")


class _Refusing:
    """A mapping whose content is not known, or not shown."""

    def __init__(self, what: str) -> None:
        self._what = what

    def _refuse(self, *_args: object) -> Any:
        raise NotEvaluated(f"its Jinja reads {self._what}, which is not known here")

    __getitem__ = __iter__ = __len__ = __contains__ = __bool__ = __str__ = __eq__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()


def _refusal(what: str) -> Callable[..., Any]:
    def refuse(*_args: object, **_kwargs: object) -> Any:
        raise NotEvaluated(f"its Jinja calls {what}, which is not run here")

    return refuse


def _pillar_comes_first(opts: Mapping[str, Any]) -> bool:
    return bool(opts.get("ext_pillar_first") and opts.get("ext_pillar"))


def _order(items: list[Any]) -> int:
    """pillar/__init__.py, Pillar.merge_tops."""
    orders = [item["order"] for item in items if isinstance(item, dict) and "order" in item]
    try:
        return int(orders[-1]) if orders else 0
    except (TypeError, ValueError):
        return 0


def _reason(err: BaseException) -> str:
    """Our own word for it where one of ours lies at the bottom, else the first line of Salt's."""
    link: BaseException | None = err
    while link is not None:
        if isinstance(link, SaltbranchError):
            return f"it cannot be evaluated here: {link.message}"
        link = link.__cause__ or link.__context__
    text = str(err).strip().splitlines() or [type(err).__name__]
    return f"Salt cannot render it: {text[0][:300]}"


def main() -> None:
    """Answer the question in the folder that the second argument names, on stdout."""
    import resource

    folder = sys.argv[1]
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever else writes to stdout must not get into the answer
    with open(f"{folder}/question", encoding="utf-8") as file:
        question = Question(**json.load(file))
    opts = saltmaster.read(question.salt_config).opts or saltmaster.default_options()
    evaluations = [_Evaluation(question, kind, folder, opts) for kind in ("states", "pillar")]
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    views = [asdict(evaluation.view()) for evaluation in evaluations]
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(views, out)
