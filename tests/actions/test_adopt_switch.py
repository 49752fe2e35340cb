"""adopt --switch and --back: killed at each step, with what changed since the proof, and with what somebody wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from saltbranch.actions import adopt_switch
from saltbranch.base.errors import RefusedError
from tests.actions.test_adopt import adopted, control
from tests.support import budget
from tests.support.former_master import FormerMaster, clone
from tests.support.kill_server import KillServer


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> FormerMaster:
    """A master that was proven; each test leaves it as it was."""
    folder = tmp_path_factory.mktemp("proven")
    remote = control(folder / "remote.git")
    base = clone(remote, folder / "master", "master")
    options = {
        "fileserver_backend": ["roots"],
        "file_roots": {"base": [f"{base}/salt"]},
        "ext_pillar": [{"cmd_yaml": "echo 'external: 1'"}],
    }
    former = FormerMaster(folder / "site", options, ("web1",))
    (former.salt_config.parent / "master.d" / "pillar.conf").write_text(
        f"pillar_roots:\n  base: [{base}/pillar]  # of the same clone\n"
    )
    code, told, _ = adopted(former)
    assert code == 0, told
    return former


def switch(former: FormerMaster, **options: str) -> adopt_switch.MoveResult:
    """The action alone."""
    return adopt_switch.switch(str(former.config), **options)


def everything(former: FormerMaster) -> dict[str, object]:
    """All that must be the same again."""
    config = former.config
    return {**former.everything(), "config": (config.read_bytes(), config.stat().st_mtime_ns)}


def steps_of(server: KillServer, log: Path, *words: str) -> list[str]:
    """The steps of a run that is not killed."""
    log.touch()
    assert server.run(log, "", 0, *words) == 0
    return log.read_text().splitlines()


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_at_any_step_the_way_back_leads_to_the_same(
    proven: FormerMaster, server: KillServer, tmp_path: Path, *, every: bool
) -> None:
    """Before and after each rename at least."""
    before = everything(proven)
    words = ["adopt", "--config", str(proven.config)]
    there = steps_of(server, tmp_path / "there", *words, "--switch")
    switched = everything(proven)
    back = steps_of(server, tmp_path / "back", *words, "--back")
    assert everything(proven) == before
    assert len(there) > 20 and len(back) > 5

    log, begun = tmp_path / "log", 0
    for number in range(len(there) + 1) if every else budget.calls(there, 8):
        log.touch()
        code = server.run(log, "any", number, *words, "--switch")
        assert code == (-9 if number < len(there) else 0), number
        if code == 0:
            break
        if (proven.root / "adopt" / "backup" / "manifest.json").exists():
            begun += 1
            assert server.run(log, "", 0, *words, "--back") == 0
        assert everything(proven) == before, (number, log.read_text())
    assert begun > 1
    assert contents(everything(proven)) == contents(switched)

    for number in range(len(back) + 1) if every else budget.calls(back, 6):
        code = server.run(log, "any", number, *words, "--back")
        if code == 0:
            break
        assert code == -9, number
        if (proven.root / "adopt" / "backup" / "manifest.json").exists():
            assert server.run(log, "", 0, *words, "--back") == 0
        assert everything(proven) == before, (number, log.read_text())
        assert server.run(log, "", 0, *words, "--switch") == 0
        assert contents(everything(proven)) == contents(switched)
    assert code == 0
    assert everything(proven) == before


def contents(found: dict[str, object]) -> dict[str, object]:
    """Without times."""
    return {path: held[0] for path, held in found.items()}  # type: ignore[index]


def test_after_a_switch_that_was_cut_off_another_one_begins_anew(
    proven: FormerMaster, server: KillServer, tmp_path: Path
) -> None:
    before = everything(proven)
    words = ["adopt", "--config", str(proven.config)]
    log = tmp_path / "log"
    log.touch()
    assert server.run(log, "os.rename BRANCH~.saltbranch-new BRANCH", 0, *words, "--switch") == -9
    with pytest.raises(RefusedError, match="cut off"):
        adopt_switch.refuse_half_done(str(proven.config))
    assert str(proven.salt_config) in switch(proven).changed
    adopt_switch.back(str(proven.config))
    assert everything(proven) == before


def test_nothing_but_what_was_proven(proven: FormerMaster) -> None:
    before = everything(proven)
    text = proven.salt_config.read_text()
    for path, added in ((proven.salt_config, "# x\n"), (proven.config, "# x\n")):
        kept, st = path.read_text(), path.stat()
        path.write_text(kept + added)
        with pytest.raises(RefusedError, match=f"changed: {path}"):
            switch(proven)
        path.write_text(kept)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    extra = proven.salt_config.parent / "master.d" / "zz.conf"
    extra.write_text("timeout: 7\n")
    with pytest.raises(RefusedError, match=r"changed: .*zz\.conf"):
        switch(proven)
    extra.unlink()
    assert proven.salt_config.read_text() == text
    proof = proven.root / "adopt" / "proof"
    data = json.loads(proof.read_text())
    proof.write_text(json.dumps({**data, "same": False}))
    with pytest.raises(RefusedError, match="has differences"):
        switch(proven)
    with pytest.raises(RefusedError, match="not 123"):
        switch(proven, accept="123")
    switch(proven, accept=data["digest"])
    with pytest.raises(RefusedError, match="moved over already"):
        switch(proven)
    adopt_switch.back(str(proven.config))
    proof.write_text(json.dumps(data))
    with pytest.raises(RefusedError, match="nothing to go back to"):
        adopt_switch.back(str(proven.config))
    now = everything(proven)
    folder = str(extra.parent)
    assert {k: v for k, v in now.items() if k != folder} == {
        k: v for k, v in before.items() if k != folder
    }


def test_options_that_would_be_others_than_proven_are_not_left_behind(
    proven: FormerMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(proven)
    real = adopt_switch.moved_options.changes
    monkeypatch.setattr(
        adopt_switch.moved_options, "changes", lambda c: {**real(c), "state_top": "other.sls"}
    )
    with pytest.raises(RefusedError, match="other options than were proven: state_top"):
        switch(proven)
    assert everything(proven) == before
