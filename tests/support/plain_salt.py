"""Compiles minions with Salt as it is, everything made anew for each: what ours is compared with."""

import json
import logging
import sys

import salt._logging
import salt.config
import salt.pillar
import salt.state

from saltbranch.compiler.inside.mask import plain

try:
    from salt.utils.secret import mask_pillar
except ImportError:  # before Salt 3008
    mask_pillar = None


def main() -> None:
    """Print what becomes of each configuration folder named on the command line."""
    salt._logging.shutdown_temp_handler()
    logging.disable(logging.CRITICAL)
    if mask_pillar is not None:
        mask_pillar.set(False)
    found = {}
    for folder in sys.argv[1:]:
        opts = salt.config.minion_config(f"{folder}/minion")
        pillar = salt.pillar.Pillar(
            opts, opts["grains"], opts["id"], opts["saltenv"], pillarenv=opts["pillarenv"]
        ).compile_pillar()
        # As salt-call does, which has the grains of the configuration and no others here.
        with salt.state.HighState(opts, initial_pillar=pillar) as highstate:
            try:
                low = highstate.compile_low_chunks()
            except Exception as err:
                low = [str(err)]
        found[opts["id"]] = {"pillar": plain(pillar), "low": plain(low)}
    sys.stdout.write(json.dumps(found))


main()
