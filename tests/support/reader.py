"""Reads all files of all checkouts again and again until stdin ends, then says what it saw, as JSON.

Arguments: the folder of the checkouts, how many lines a file has, and the names of the files. Every file is
to hold the line ``<branch> <number>`` and nothing else, over and over.
"""

from __future__ import annotations

import json
import os
import select
import sys


def main() -> None:
    """Read, and keep count."""
    folder, lines, *names = sys.argv[1:]
    reads, problems = 0, []
    newest: dict[str, int] = {}
    while not select.select([sys.stdin], [], [], 0)[0]:
        for branch in os.listdir(folder):
            if branch.endswith("-new"):  # not there yet, and never what Salt was told
                continue
            for name in names:
                path = f"{folder}/{branch}/{name}"
                reads += 1
                try:
                    with open(path) as file:
                        text = file.read()
                except OSError as err:
                    problems.append(f"{path}: {err}")
                    continue
                words = text.partition("\n")[0].split()
                if words[:1] != [branch] or text != f"{branch} {words[-1]}\n" * int(lines):
                    problems.append(f"{path}: torn or strange: {text[:40]!r}")
                elif int(words[1]) < newest.setdefault(path, 0):
                    problems.append(f"{path}: {words[1]} after {newest[path]}")
                else:
                    newest[path] = int(words[1])
    json.dump({"reads": reads, "problems": problems[:10], "newest": newest}, sys.stdout)


if __name__ == "__main__":
    main()
