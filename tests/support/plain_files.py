"""Applies the highstate of minions with Salt as it is; what the files below the folder of each hold then."""

import base64
import json
import logging
import os
import sys

import salt._logging
import salt.config
import salt.pillar
import salt.state

try:
    from salt.utils.secret import mask_pillar
except ImportError:  # before Salt 3008
    mask_pillar = None


def main() -> None:
    """Print what becomes of each configuration folder named on the command line: files, and results of states."""
    salt._logging.shutdown_temp_handler()
    logging.disable(logging.CRITICAL)
    if mask_pillar is not None:
        mask_pillar.set(False)
    found = {}
    for folder in sys.argv[1:]:
        opts = salt.config.minion_config(f"{folder}/minion")
        out = opts["grains"]["out"]
        pillar = salt.pillar.Pillar(
            opts, opts["grains"], opts["id"], opts["saltenv"], pillarenv=opts["pillarenv"]
        ).compile_pillar()
        with salt.state.HighState(opts, initial_pillar=pillar) as highstate:
            results = highstate.call_highstate()
        files = {}
        for place, _, names in os.walk(out):
            for name in names:
                with open(f"{place}/{name}", "rb") as file:
                    path = os.path.relpath(f"{place}/{name}", out)
                    files[path] = base64.b64encode(file.read()).decode()
        bad = results if isinstance(results, list) else [
            [r.get("__id__"), r["comment"]] for r in results.values() if not r["result"]
        ]  # fmt: skip
        found[opts["id"]] = {"files": files, "bad": bad}
    sys.stdout.write(json.dumps(found))


main()
