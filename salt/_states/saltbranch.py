"""
Keep in mind which commit a highstate applied, for ``salt '*' saltbranch.applied``.
"""

import datetime

from salt.exceptions import CommandExecutionError


def applied(name, commit):
    """
    Record that this run applied ``commit``. It changes nothing else, so it reports no changes.

    name
        Any text.
    commit
        What the saltenv served when the run was compiled; None where that is not known.
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": ""}
    ret["comment"] = f"Applied {commit or 'an unknown commit'}"
    if __opts__["test"]:
        ret["comment"] = f"Would record {commit or 'an unknown commit'}"
        return ret
    try:
        end = __salt__["saltbranch.commit"](__env__)
        data = {
            "saltenv": __env__,
            "commit": commit,
            "failed": sum(run.get("result") is False for run in __running__.values()),
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }
        if end != commit:
            data["commit_at_end"] = end
            ret["comment"] += f"; {__env__} was switched to {end} meanwhile"
        __salt__["saltbranch.record"](data)
    except CommandExecutionError as error:
        ret.update(result=False, comment=str(error))
    return ret
