"""The rules by name, for reports: severity, what they look for, and what usually fixes it."""

from __future__ import annotations

from saltbranch.check.finding import Rule, Severity

ELSEWHERE = "what is kept elsewhere is named in missing: of saltbranch.yaml"
"""What to do about files that are not there on purpose."""

RULES: dict[str, Rule] = {}


def _rule(name: str, severity: Severity, title: str, fix: str) -> Rule:
    rule = RULES[name] = Rule(name, severity, title, fix)
    return rule


# Files as such
NOT_TEXT = _rule(
    "not-utf-8", "error", "A file that Salt renders is not UTF-8 text", "save it as UTF-8"
)
TOO_LARGE = _rule(
    "not-checked", "warning", "A file is too large or too complicated to be checked",
    "split the file",
)  # fmt: skip
ODD_NAME = _rule(
    "file-name", "warning", "The name of a file contains control characters or is not valid text",
    "rename the file",
)  # fmt: skip
BAD_LINK = _rule(
    "symlink", "error", "A symlink leads out of the tree or to nothing",
    "remove the link, or let it point to a file below its own folder tree",
)  # fmt: skip
LFS = _rule(
    "lfs-pointer", "warning", "A file is a Git LFS pointer",
    "commit the file itself, or see that git-lfs fetches it on every master",
)  # fmt: skip
MISSING_FORMULA = _rule(
    "missing-formula", "warning",
    "The files of a formula are not here, so they were not judged; an error where masters refuse the commit for it",
    "fetch it: saltbranch formula list, or on a master saltbranch sync",
)  # fmt: skip
NO_STATES = _rule(
    "no-states", "error", "The commit has no folder of states",
    "fix states_dir: in saltbranch.yaml, or check another ref",
)  # fmt: skip
NO_PILLAR = _rule(
    "no-pillar", "error", "The folder of the pillar is a link, a submodule, or without files",
    "commit the files themselves in the folder that pillar_dir names",
)  # fmt: skip

# saltbranch.yaml
MODEL = _rule(
    "model",
    "error",
    "saltbranch.yaml cannot be used as a model",
    "fix it: no promotion takes it so",
)
MACHINE_KEY = _rule(
    "machine-key",
    "note",
    "saltbranch.yaml has a key that only a machine's own file can set",
    "remove it",
)

NOT_REACHED = _rule(
    "not-reached", "note", "No top file, include or source reaches some files",
    "name them where they belong, or leave them: files for the reactor and orchestration are fine so",
)  # fmt: skip

# Syntax
JINJA = _rule("jinja-syntax", "error", "Jinja cannot be parsed", "fix the template there")
JINJA_FILTER = _rule(
    "jinja-unknown-filter", "error", "A template uses a filter or test that Salt does not have",
    "fix its name",
)  # fmt: skip
YAML = _rule("yaml-syntax", "error", "YAML cannot be parsed", "fix the YAML there")
YAML_KEY = _rule(
    "yaml-duplicate-key", "error", "A key appears twice in one mapping", "remove or rename one"
)
PYTHON = _rule("python-syntax", "error", "Python cannot be parsed", "fix the Python there")
RENDERER = _rule(
    "unknown-renderer", "error", "The first line names a renderer that Salt does not have",
    "fix the first line",
)  # fmt: skip
SHAPE = _rule(
    "sls-shape", "error", "An sls file, a state or a requisite has not the shape that Salt wants",
    "write it as Salt's documentation of highstate data shows",
)  # fmt: skip

# What names something
TOP = _rule(
    "top-missing-sls", "error", "A top file names an sls that does not exist",
    f"add the file, or fix the name; {ELSEWHERE}",
)  # fmt: skip
INCLUDE = _rule(
    "include-missing", "error", "An include names an sls that does not exist",
    f"add the file, or fix the name; {ELSEWHERE}",
)  # fmt: skip
TEMPLATE = _rule(
    "template-missing", "error", "A template imports or includes a file that does not exist",
    "add the file, or fix the path, which counts from the root, not from the folder of the template;"
    f" {ELSEWHERE}",
)  # fmt: skip
REQUISITE = _rule(
    "requisite-missing", "error", "A requisite names a state that is nowhere declared",
    "fix the name, or declare the state",
)  # fmt: skip
EXTEND = _rule(
    "extend-missing", "error", "extend names a state id that is nowhere declared",
    "fix the id, or include the sls that declares it",
)  # fmt: skip
SOURCE = _rule(
    "source-missing",
    "error",
    "A salt:// source does not exist",
    f"add the file, or fix the path; {ELSEWHERE}",
)
DUPLICATE = _rule(
    "duplicate-id", "error", "Two sls files that one minion gets declare the same id",
    "rename one of the two",
)  # fmt: skip

# State functions
STATE_MODULE = _rule(
    "unknown-state-module", "warning", "A state module is neither in Salt nor in the branch",
    "fix its name; if an extension brings it, install that alongside saltbranch, too",
)  # fmt: skip
STATE_FUNCTION = _rule(
    "unknown-state-function", "error", "A state module has no such function", "fix its name"
)
ARGUMENT = _rule(
    "unknown-argument", "warning", "A state function has no such argument", "fix its name"
)
NO_ARGUMENT = _rule(
    "missing-argument", "error", "A state function misses an argument that it needs", "add it"
)

# Places and saltenvs
PATH = _rule(
    "absolute-path", "warning", "A path into the served tree is written out",
    "use salt://, or a path from the root in imports: a written-out path reads the same tree"
    " in every saltenv",
)  # fmt: skip
SALTENV = _rule(
    "hard-coded-saltenv", "warning", "A saltenv is written out",
    "leave it out: the file then means the saltenv it is served in, on every branch",
)  # fmt: skip

# Dangers
DANGER = _rule(
    "render-time-call", "warning", "Rendering acts on, or asks, the machine that renders",
    "move it into a state (cmd.run with onlyif, for example), a custom grain or the pillar",
)  # fmt: skip
INDIRECT = _rule(
    "render-time-indirect", "note", "A template calls functions whose name is not written out",
    "write the function's name out, so that a reader sees what is called",
)  # fmt: skip
SECRET = _rule(
    "plaintext-secret", "error", "A secret is in plain text",
    "change the secret, then keep it as a PGP message (#!jinja|yaml|gpg), with git-crypt or in a vault",
)  # fmt: skip
ALLOW = _rule(
    "allow-list", "warning", "The file of allowed findings cannot be used as it is",
    "fix or remove that entry",
)  # fmt: skip

# Module tests
TEST_FILE = _rule("test-file", "error", "A file of state tests cannot be used as it is", "fix it")
TEST = _rule(
    "state-test", "error", "A state test does not hold", "fix the states, or the expectation"
)

# Highstates
COMPILE = _rule(
    "compile", "error", "The highstate of a minion cannot be compiled",
    "fix what the message names",
)  # fmt: skip
ESCAPE = _rule(
    "escape-attempt", "error", "Code of the branch reached for what compiling has no need of",
    "look at the custom modules, #!py files and templates that the branch changed",
)  # fmt: skip
OUTSIDE = _rule(
    "reads-outside", "warning", "Rendering reads a file of the machine that renders",
    "keep the file in the repository and name it from its root, or put what it says into the pillar or a grain",
)  # fmt: skip
EMPTY_TOP = _rule(
    "empty-top", "warning", "The top file assigns no states to any minion", "add a target to it",
)  # fmt: skip
EMPTY = _rule(
    "empty-highstate", "warning", "A minion is matched, and its highstate is empty",
    "see what the sls files render to for it",
)  # fmt: skip
NEWER = _rule(
    "newer-salt", "error", "Another Salt makes something else of it, or nothing",
    "see the release notes of that Salt, and write it so that both versions understand it",
)  # fmt: skip
NEUTRAL = _rule(
    "neutral-answer", "note", "A function answered neutrally, because it asks the host and no answer is recorded",
    "record what it returns: saltbranch fleet record DIR --returns, or returns: in the minion's file",
)  # fmt: skip
UNMATCHED = _rule(
    "unmatched-minion", "note", "No target of a top file matches a minion",
    "see the top file's targets, and the grains in the minion's file of the fleet",
)  # fmt: skip
