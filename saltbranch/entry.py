"""The console script: the timer's plain ``sync`` goes straight to work, everything else through typer.

A sync that finds nothing new must cost hardly more than starting Python and one fetch, so it
imports neither typer nor GitPython nor Salt nor a YAML parser.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` would bring `enum` with it
import os
import sys

from saltbranch.base.errors import (
    EXIT_BUG,
    Interrupted,
    SaltbranchError,
    harmless,
    lines_of_ours,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.run import SaltenvResult, SyncResult


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    arguments = sys.argv[1:] = in_order(sys.argv[1:])
    _signal.signal(_signal.SIGTERM, _interrupt)
    quick = _quick_sync(arguments)
    code = guarded(quick or _ordinary)
    if quick:
        sys.stderr.flush()
        os._exit(code)  # without taking the interpreter apart first
    sys.exit(code)


_GROUPS = ("feature", "release", "hotfix", "flow", "fleet")  # their verbs are two words


def in_order(words: list[str]) -> list[str]:
    """`words` of a command line with the options that stand before the verb after it, as the verbs take them.

    ``--config FILE`` and ``--json`` may stand in both places; ``version`` and ``help VERB`` are what habit types.
    """
    if words[:1] == ["version"]:
        return ["--version", *words[1:]]
    if words[:1] == ["help"]:
        return [*words[1:], "--help"]
    first = 0
    while first < len(words) and (words[first] == "--json" or _is_config(words[first])):
        first += 2 if words[first] in ("-c", "--config") else 1
    verb = 2 if words[first : first + 1] and words[first] in _GROUPS else 1
    if first >= len(words) or any(word.startswith("-") for word in words[first : first + verb]):
        return words
    return [*words[first : first + verb], *words[:first], *words[first + verb :]]


def _is_config(word: str) -> bool:
    return word == "--config" or word.startswith("--config=") or word.startswith("-c")


def _interrupt(_signum: int, _frame: object) -> None:
    """End as ^C does; a second one ends at once, which is safe as well."""
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    raise KeyboardInterrupt


def guarded(work: Callable[[], int]) -> int:
    """The exit code of `work`, with every failure said on stderr: the one place that maps them."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except SaltbranchError as err:
        tell(err)
        _tell_program(err.message, err.hint, err.exit_code)
        return err.exit_code
    except KeyboardInterrupt:
        what = "interrupted; what was served is still served"
        sys.stderr.write(f"saltbranch: {what}\n")
        _tell_program(what, "", Interrupted.exit_code)
        return Interrupted.exit_code
    except BrokenPipeError:  # stderr; stdout takes care of itself
        _write_to_nowhere()
        return 1
    except Exception as err:
        what = f"this is a bug: {type(err).__name__}, see {_bug_report()}"
        sys.stderr.write(f"saltbranch: {what}\n")
        _tell_program(what, "", EXIT_BUG)
        return EXIT_BUG
    finally:
        if program := sys.modules.get("saltbranch.git.program"):
            program.let_go()


def _write_to_nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_program(message: str, hint: str, exit_code: int) -> None:
    """Say it once more, as JSON on stdout, where that was asked for: no program is to parse sentences."""
    if "--json" not in sys.argv:
        return
    from saltbranch.cli.options.common import print_error, wants_json

    if wants_json(sys.argv[1:]):
        print_error(message, hint, exit_code)
        sys.stdout.flush()


def tell(err: SaltbranchError) -> None:
    """Say on stderr what failed, and what to do; what strangers wrote does not steer the terminal."""
    sys.stderr.write(f"saltbranch: {lines_of_ours(err.message)}\n")
    if err.hint:
        sys.stderr.write(f"  -> {harmless(err.hint)}\n")


def _ordinary() -> int:
    import gc

    # A verb makes little garbage, and looking for it takes a twentieth of the time.
    gc.set_threshold(20_000)
    from saltbranch.cli.app import run
    from saltbranch.cli.pipe import unread

    if sys.argv[1:2] != ["demo"]:  # nobody has to see that to its end
        sys.stdout = unread(sys.stdout)
    return run()


def _quick_sync(arguments: list[str]) -> Callable[[], int] | None:
    """The work of ``sync [-q] [-c FILE] [SALTENV...]`` without a terminal; None for all else."""
    if arguments[:1] != ["sync"]:
        return None
    quiet, config, only = False, None, []
    rest = iter(arguments[1:])
    for word in rest:
        if word in ("-q", "--quiet"):
            quiet = True
        elif word in ("-c", "--config"):
            config = next(rest, None)
            if config is None:
                return None
        elif word.startswith("-"):
            return None
        else:
            only.append(word)
    if not quiet and sys.stderr.isatty():
        return None

    def work() -> int:
        from saltbranch.actions.sync import sync
        from saltbranch.config import locate

        path = locate.machine_file(config, os.environ)
        result = sync(path, only=only, notify=_notify)
        if not quiet or result.changed or result.exit_code or result.unread_news:
            _show(result, quiet=quiet)
        return result.exit_code

    return work


def _show(result: SyncResult, *, quiet: bool) -> None:
    from saltbranch.cli.show import sync as sync_text

    try:
        sync_text.show(result, quiet=quiet)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it may leave; what was done stays what it was
        _write_to_nowhere()


def _notify(ready: Prepared, results: Sequence[SaltenvResult]) -> str | None:
    from saltbranch.serve import bus_event

    return bus_event.tell(ready, results)


def _bug_report() -> str:
    """Write the traceback of the exception being handled to a private file; its path."""
    import platform
    import tempfile
    import traceback

    from saltbranch import __version__

    fd, path = tempfile.mkstemp(prefix="saltbranch-bug-", suffix=".log")
    with open(fd, "w", encoding="utf-8", errors="replace") as file:
        file.write(
            f"saltbranch {__version__}, Python {platform.python_version()}, {sys.argv!r}\n\n"
        )
        traceback.print_exc(file=file)
    return path
