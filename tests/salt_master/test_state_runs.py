"""Which state runs are under way by a master's job cache, which Salt itself writes here."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import salt.payload
import salt.utils.jid

from saltbranch.base.errors import SaltError
from saltbranch.salt_master.job_cache import (
    LocalJobs,
    OtherJobs,
    named_saltenvs,
    state_function,
)
from saltbranch.salt_master.state_runs import Watch

Jobs = LocalJobs | OtherJobs


class Cache:
    """A master's job cache."""

    def __init__(self, folder: Path) -> None:
        folders = dict.fromkeys(("root_dir", "cachedir", "sock_dir", "pki_dir"), str(folder))
        self.opts = {**salt.config.DEFAULT_MASTER_OPTS, **folders}
        self.folder = folder / "jobs"
        self.returners = salt.loader.returners(self.opts, {})
        self.number = 0

    def publish(self, fun: Any, *minions: str, arg: Any = (), jid: str = "", **more: Any) -> str:
        """A job as a master saves it before it sends it out; its id."""
        jid = jid or self.jid()
        load = {"fun": fun, "arg": list(arg), "tgt": "*", "tgt_type": "glob", "jid": jid, **more}
        self.returners["local_cache.save_load"](jid, load, list(minions))
        return jid

    def jid(self) -> str:
        """A new one, whose folder is there."""
        self.number += 1
        now = time.strftime("%Y%m%d%H%M%S", time.localtime())
        return str(self.returners["local_cache.prep_jid"](passed_jid=f"{now}{self.number:06}"))

    def returned(self, jid: str, minion: str) -> None:
        """A return as a master saves it."""
        self.returners["local_cache.returner"]({"jid": jid, "id": minion, "return": {}})

    def path(self, jid: str) -> Path:
        """The folder of a job."""
        return Path(salt.utils.jid.jid_dir(jid, str(self.folder), self.opts["hash_type"]))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    logging.disable(logging.CRITICAL)  # as in the process that looks
    yield Cache(tmp_path)
    logging.disable(logging.NOTSET)


def local(cache: Cache) -> Jobs:
    return LocalJobs(str(cache.folder), salt.payload.loads)


def other(cache: Cache) -> Jobs:
    return OtherJobs("local_cache", cache.returners)


@pytest.mark.parametrize("kind", [local, other])
def test_under_way_is_what_was_published_and_not_returned(
    cache: Cache, kind: Callable[[Cache], Jobs]
) -> None:
    jobs = kind(cache)
    apply = cache.publish("state.apply", "web1", "web2", arg=["app", {"saltenv": "prod"}])
    cache.publish("test.ping", "web1")
    cache.returned(cache.publish("state.highstate", "web1"), "web1")
    begun = time.time()

    (job,) = jobs.open()

    assert (job.jid, job.function, job.minions) == (apply, "state.apply", ("web1", "web2"))
    assert job.saltenvs == ("prod",) and begun - 2 < job.since <= begun
    cache.returned(apply, "web1")
    assert [job.minions for job in jobs.open()] == [("web2",)]
    cache.returned(apply, "web2")
    assert jobs.open() == []


@pytest.mark.parametrize("kind", [local, other])
def test_a_return_without_a_job_is_none_whatever_it_says(
    cache: Cache, kind: Callable[[Cache], Jobs]
) -> None:
    # As salt/utils/job.py stores what a minion returns of its own accord, with what that minion says it was.
    cache.publish("state.apply", "web1", "web2", **{"return": {}, "id": "web1"})

    assert kind(cache).open() == []


def test_a_batch_goes_on_under_the_id_of_its_job(cache: Cache) -> None:
    jobs = local(cache)
    jid = cache.publish("state.apply", "web1")
    cache.returned(jid, "web1")
    assert jobs.open() == []

    cache.publish("state.apply", "web2", jid=jid)

    assert [job.minions for job in jobs.open()] == [("web2",)]


def test_a_job_that_is_just_being_published_is_waited_for(cache: Cache) -> None:
    jobs = local(cache)
    jid = cache.jid()
    timer = threading.Timer(0.1, cache.publish, ["state.apply", "web1"], {"jid": jid})
    timer.start()

    assert [job.jid for job in jobs.open()] == [jid]
    timer.join()


def test_what_is_no_job_or_older_than_a_day_counts_for_nothing(cache: Cache) -> None:
    old = cache.publish("state.apply", "web1")
    os.utime(cache.path(old) / ".load.p", (1, time.time() - 90_000))
    torn = cache.publish("state.apply", "web1")
    (cache.path(torn) / ".load.p").write_bytes(b"\xc1")
    foreign = cache.publish("state.apply", "web1")
    (cache.path(foreign) / ".load.p").write_bytes(salt.payload.dumps(["what is this"]))
    empty = cache.path(cache.jid())
    os.utime(empty, (1, time.time() - 60))
    (cache.folder / "a file").touch()
    (cache.folder / "ab").mkdir(exist_ok=True)
    (cache.folder / "ab" / "a file").touch()

    assert Watch(cache.opts).look() == []


def test_a_cache_that_cannot_be_read_is_no_empty_one(cache: Cache) -> None:
    cache.folder.write_text("no folder")

    with pytest.raises(SaltError, match="cannot see which state runs are under way"):
        Watch(cache.opts).look()


def test_what_is_known_to_be_over_is_not_looked_at_again(cache: Cache) -> None:
    watch = Watch(cache.opts)
    jid = cache.publish("state.apply", "web1", "web2")
    watch.gone.add((jid, "web1"))

    runs = watch.look()

    assert [(run.minion, run.jid, run.confirmed) for run in runs] == [("web2", jid, False)]


@pytest.mark.parametrize(
    ("fun", "found"),
    [
        ("state.apply", "state.apply"),
        ("state.show_highstate", "state.show_highstate"),
        (["test.ping", "state.sls"], "state.sls"),
        ("state.running", ""),
        ("saltutil.find_job", ""),
        ("statex.apply", ""),
        ("runner.state.orchestrate", ""),
        (None, ""),
        ([], ""),
    ],
)
def test_which_functions_read_states(fun: object, found: str) -> None:
    assert state_function(fun) == found


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["app", {"__kwarg__": True, "saltenv": "prod", "pillarenv": "stage"}], {"prod", "stage"}),
        (["app", "saltenv=prod"], {"prod"}),
        ([["app", {"saltenv": "prod"}], []], {"prod"}),
        (["saltenv", {"saltenv": None}, 3, None], set()),
        (None, set()),
    ],
)
def test_which_saltenvs_arguments_name(arguments: object, found: set[str]) -> None:
    assert named_saltenvs(arguments) == found
