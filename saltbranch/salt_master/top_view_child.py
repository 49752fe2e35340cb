"""The process that evaluates top files: started by top_view.py, for one minion and once.

A top file is a template, and evaluating it runs somebody else's code. So it happens here, with
limits on memory, time and files written; Salt's functions and filters are refused but for a few that
only look at the minion id and the grains. A top file that asks for more is not evaluated, and the
answer says so: no answer is better than a wrong one. The matching itself is Salt's.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from saltbranch.base.errors import SaltbranchError
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master import pillar_errors
from saltbranch.salt_master.top_file import BRANCH_TOP
from saltbranch.salt_master.top_view import (
    MATCHERS,
    Entry,
    Nodegroups,
    Question,
    TopView,
    needs,
    needs_of_words,
)

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
    """The top file asks for something that is not given to it here. plainly: that without its words."""

    def __init__(self, message: str, plainly: str) -> None:
        super().__init__(message)
        self.plainly = plainly


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
        self.evaluator = master_options.TopEvaluator(
            opts,
            minion_id=question.minion_id,
            saltenv=question.saltenv,
            roots=list(self.roots),
            grains=question.grains or {},
            pillar=pillar or {},
            folder=folder,
            lent_file=question.lent_file,
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
                targets = {t: v if isinstance(v, list) else [] for t, v in targets.items()}
            entries = tuple(self._entry(str(t), items) for t, items in targets.items())
        except Exception as err:
            why = _reason(err) if self.kind == "states" else self._plainly(err)
            return TopView(path, problem=why)
        return TopView(path, entries)

    def _plainly(self, err: BaseException) -> str:
        """What is wrong with a pillar's top file: nothing of it but kind and place."""
        ours = _ours(err)
        if isinstance(ours, NotEvaluated):
            return f"it cannot be evaluated here: {ours.plainly}"
        whole = "".join(traceback.format_exception(err))
        text = self._text()
        kind = pillar_errors.kind_of(ours.message if ours else str(err))
        place = pillar_errors.place(whole, len(text.splitlines()) or None, is_top=True)
        begin = "it cannot be evaluated here" if ours else "Salt cannot render it"
        return f"{begin}: {kind}{place}"

    def _text(self) -> str:
        """The branch's own top file."""
        try:
            with open(f"{self.roots[0]}/{BRANCH_TOP}", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

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
                asked = f"its Jinja asks for {' and '.join(sorted(missing))}"
                raise NotEvaluated(asked, asked)
            return function(*args, **kwargs)

        return call

    def _entry(self, target: str, items: list[Any]) -> Entry:
        kinds = [str(i["match"]) for i in items if isinstance(i, dict) and "match" in i]
        kind = kinds[-1] if kinds else "compound"
        sls = tuple(item for item in items if isinstance(item, str))
        told = kind if self.kind == "states" or kind in MATCHERS else "***"
        unknown = needs(target, kind, self.nodegroups) - self.known
        if unknown:
            why = f"depends on {' and '.join(sorted(unknown))}, not known here"
            return Entry(target, told, sls, None, why)
        try:
            matches = self.evaluator.matches(target, items)
        except Exception as err:
            begin = f"Salt fails on the target {target!r} ({told})"
            raise NotEvaluated(f"{begin}: {err}", begin) from err
        return Entry(target, told, sls, matches)


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
        asked = f"its Jinja reads opts[{key!r}]"
        raise NotEvaluated(asked, asked if key in self._names else "its Jinja reads an option")

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
        return self._functions.get(name) or _refusal(f"salt['{name}']", "a function")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._module:
            return self[f"{self._module}.{name}"]
        return _Functions(self._functions, name)

    def __contains__(self, name: object) -> bool:
        raise NotEvaluated(
            f"its Jinja asks whether salt has {name!r}", "its Jinja asks which functions there are"
        )


class _Refusing:
    """A mapping whose content is not known, or not shown."""

    def __init__(self, what: str) -> None:
        self._what = what

    def _refuse(self, *_args: object) -> Any:
        asked = f"its Jinja reads {self._what}, which is not known here"
        raise NotEvaluated(asked, asked)

    __getitem__ = __iter__ = __len__ = __contains__ = __bool__ = __str__ = __eq__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()


def _refusal(what: str, plainly: str = "") -> Callable[..., Any]:
    """Refuses `what`. plainly: how that is called where its name is not told."""

    def refuse(*_args: object, **_kwargs: object) -> Any:
        asked = "its Jinja calls {}, which is not run here"
        raise NotEvaluated(asked.format(what), asked.format(plainly or what))

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
    if ours := _ours(err):
        return f"it cannot be evaluated here: {ours.message}"
    text = str(err).strip().splitlines() or [type(err).__name__]
    return f"Salt cannot render it: {text[0][:300]}"


def _ours(err: BaseException) -> SaltbranchError | None:
    link: BaseException | None = err
    while link is not None:
        if isinstance(link, SaltbranchError):
            return link
        link = link.__cause__ or link.__context__
    return None


def main() -> None:
    """Answer the question in the folder that the second argument names, on stdout."""
    import resource

    folder = sys.argv[1]
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever else writes to stdout must not get into the answer
    with open(f"{folder}/question", encoding="utf-8") as file:
        question = Question(**json.load(file))
    opts = master_options.read(question.salt_config).opts or master_options.default_options()
    evaluations = [_Evaluation(question, kind, folder, opts) for kind in ("states", "pillar")]
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    views = [asdict(evaluation.view()) for evaluation in evaluations]
    with open(answer, "w", encoding="utf-8") as out:
        json.dump(views, out)
