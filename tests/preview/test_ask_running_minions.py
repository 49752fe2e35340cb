"""fleet record --returns on a running master: the minion itself says what its highstate calls."""

from __future__ import annotations

from pathlib import Path

import yaml

from saltbranch.actions import fleet as fleet_action
from saltbranch.compiler import pool
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.read_only_functions import ACTS, NOT_LISTED
from saltbranch.preview import compare, known_fleet
from saltbranch.preview.ask_minions import HIDDEN
from saltbranch.preview.repository_and_master import open_place
from tests.support.running import Master

STATES = """\
app:
  test.nop:
    - host: {{ salt['network.get_hostname']() }}
{% if salt['file.file_exists']('/etc/passwd') %}
    - mode: {{ salt['file.get_mode']('/etc/passwd') | json }}
{% endif %}
    - ran: {{ salt['cmd.run']('echo from the minion') | json }}
    - token: {{ salt['environ.get']('API_TOKEN') | json }}
    - of_pillar: {{ salt['file.file_exists'](pillar['place']) | json }}
"""


def test_a_minion_is_asked_for_exactly_what_was_answered_neutrally(
    master: Master, tmp_path: Path
) -> None:
    site = master.another_site(tmp_path)
    site.remote.commit(
        "develop", {"salt/app/init.sls": STATES.encode(), "pillar/app.sls": b"place: /some/where\n"}
    )
    site.sync_well()
    folder = tmp_path / "fleet"

    done = fleet_action.record(str(site.config), str(folder), wanted=["test1"], returns=True)
    assert done.returns == {
        "test1": ('file.file_exists("/etc/passwd")', 'file.get_mode("/etc/passwd")', "network.get_hostname()")
    }  # fmt: skip
    assert done.left == {
        'cmd.run("echo from the minion")': ACTS,
        'environ.get("API_TOKEN")': NOT_LISTED,
        "file.file_exists": HIDDEN,
    }
    kept = yaml.safe_load((folder / "test1.yaml").read_text())["returns"]
    assert kept == {
        key: master.cluster.local("test1", key.partition("(")[0], *args)
        for key, args in (
            ('file.file_exists("/etc/passwd")', ["/etc/passwd"]),
            ('file.get_mode("/etc/passwd")', ["/etc/passwd"]),
            ("network.get_hostname()", []),
        )
    }
    assert kept['file.file_exists("/etc/passwd")'] is True

    again = fleet_action.record(
        str(site.config), str(folder), wanted=["test1"], returns=True, acting=True
    )
    assert again.returns == {"test1": ('cmd.run("echo from the minion")',)}
    returns = yaml.safe_load((folder / "test1.yaml").read_text())["returns"]
    assert returns['cmd.run("echo from the minion")'] == "from the minion"

    site.configure(fleet=str(folder))
    place = open_place(str(site.config))
    minions = known_fleet.load(place).minions
    frame = compare.frame_of(place)
    tree = frame.tree(place.repository.git, site.remote.head("develop"))
    [result] = pool.compile_each(frame, tree, minions, jobs=1, cache=CompileCache(None), plain=True)
    assert (
        result.low[0]["ran"] == "from the minion"
        and result.low[0]["mode"] == kept['file.get_mode("/etc/passwd")']
    )
