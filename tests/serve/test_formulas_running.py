"""A running salt-master serves states of a submodule, and sees a moved pin without a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.remote import Link, Remote, Submodule
from tests.support.running import Master, running_master


@pytest.fixture
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """One of its own: what others did to the shared one shall not matter here."""
    with running_master(tmp_path_factory.mktemp("formulas")) as master:
        yield master


def test_master_serves_a_formula_and_sees_its_pin_move(master: Master) -> None:
    site = master.site
    formula = Remote(site.folder / "formulas" / "nginx.git")
    site.configure(submodules=[str(site.folder / "formulas")])
    pid = (master.cluster.cache_dir.parent / "pid").read_text()

    def release(number: int) -> str:
        return formula.commit(
            "main",
            {
                "nginx/init.sls": f"formula {number}: {{test.nop: []}}\n",
                f"nginx/only{number}.sls": "x: {test.nop: []}\n",
                "nginx/files/conf": f"release {number}\n",
            },
        )

    def states() -> list[str]:
        answer = master.cluster.local("test1", "state.show_sls", "nginx", saltenv="test")
        return sorted(answer) if isinstance(answer, dict) else [str(answer)]

    def text(path: str) -> object:
        return master.cluster.local("test1", "cp.get_file_str", f"salt://{path}", saltenv="test")

    url = f'[submodule "nginx"]\n\tpath = formulas/nginx\n\turl = {formula.path}\n'
    site.remote.commit(
        "develop",
        {
            ".gitmodules": url,
            "formulas/nginx": Submodule(release(1)),
            # As it is done by hand everywhere: a link into the folder of the formula.
            "salt/nginx": Link("../formulas/nginx/nginx"),
        },
    )
    assert site.sync_here().exit_code == 0
    assert states() == ["formula 1"] and text("nginx/files/conf") == "release 1\n"
    site.remote.commit("develop", {"formulas/nginx": Submodule(release(2))})
    assert site.sync_here().exit_code == 0
    assert states() == ["formula 2"] and text("nginx/files/conf") == "release 2\n"
    listed = master.cluster.local("test1", "cp.list_states", saltenv="test")
    assert "nginx.only2" in listed
    site.remote.commit("develop", {"formulas/nginx": Submodule("3" * 40)})
    assert site.sync_here().exit_code == 20
    assert states() == ["formula 2"]
    assert (master.cluster.cache_dir.parent / "pid").read_text() == pid
