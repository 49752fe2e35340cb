"""The end of a fork that is to be a program: as Python ends one, and without what its parent would do at its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn


def end_with(main: Callable[[], object]) -> NoReturn:
    """Run `main`, whose number is the exit code as in ``sys.exit(main())``, and end this process."""
    code = 1
    try:
        end = main()
        code = end if isinstance(end, int) else 0
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else 0 if err.code is None else 1
        if isinstance(err.code, str):
            sys.stderr.write(f"{err.code}\n")
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
