"""Dask's workers write what one machine does, whatever becomes of some of them: processes on the loopback address."""

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time

import distributed
import pytest
from checkpoints import TINY, changed
from commands import PACKAGE, watched

import pyled
from pyled.errors import CheckpointError, InputError
from pyled.tasks import Summarizer, workers

PATIENCE = 120  # seconds: a test ends sooner, unless the machine is very busy
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{PACKAGE.parent}:{PACKAGE.parent / 'tests'}",
    "NUMBA_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
}
TEXTS = [f"The keeper wrote {number} down." for number in range(12)]


class Cluster:
    """A scheduler, its workers, and a client."""

    def __init__(self, folder):
        self._folder, self._file, self._processes = folder, folder / "scheduler.json", []
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        until(self._file.exists)
        self.client = distributed.Client(scheduler_file=str(self._file), timeout=PATIENCE, set_as_default=False)
        self.address = self.client.scheduler.address

    def _start(self, kind, *arguments, **environment):
        command = [sys.executable, "-P", "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", str(self._file)]
        with (self._folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*command, *arguments],
                    env=ENVIRONMENT | environment,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        return self._processes[-1]

    def add(self, nanny="--no-nanny", **environment):
        """Start a worker, and return its process and its address."""
        before = self.client.nthreads().keys()
        preload = PACKAGE.parent / "tests" / "preload.py"
        process = self._start(
            "worker",
            "--host",
            "127.0.0.1",
            "--nthreads",
            "2",
            "--no-dashboard",
            "--preload",
            preload,
            nanny,
            **environment,
        )
        until(lambda: self.client.nthreads().keys() - before)
        return process, *(self.client.nthreads().keys() - before)

    def close(self):
        self.client.close()
        for process in reversed(self._processes):
            process.kill()
        for process in self._processes:
            process.wait(PATIENCE)


def until(condition):
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def worker(cluster):
    """The address of a worker that a nanny starts anew where it dies."""
    return cluster.add("--nanny")[1]


def written():
    return Summarizer.written


def record(result):
    return {name: value for name, value in result.record().items() if "seconds" not in name and name != "chunks"}


def test_each_text_has_the_record_of_one_machine_also_where_a_worker_is_killed_and_another_joins(cluster, worker):
    mortal, _ = cluster.add()
    added, statuses = [], []

    def watch(status):
        statuses.append(status)
        if not added:
            mortal.kill()
            added.append(cluster.add()[1])

    summarizer = Summarizer(TINY, max_length=3, num_beams=1, do_sample=True)  # its seed is drawn
    results = summarizer(TEXTS, progress=watch, client=cluster.client)
    assert [record(result) for result in results] == [record(result) for result in summarizer(TEXTS)]
    assert sorted(status.text for status in statuses) == [*range(len(TEXTS))]  # each once
    assert [(status.done, status.total) for status in statuses] == [(i + 1, len(TEXTS)) for i in range(len(TEXTS))]
    assert (statuses[-1].fraction, statuses[-1].seconds_left) == (1, 0)
    assert cluster.client.run(written, workers=added)[added[0]] > 0
    assert not [name for plugins in cluster.client.run(plugins).values() for name in plugins if "pyled" in name]


def plugins(dask_worker):
    return [*dask_worker.plugins]


def test_a_text_that_ends_its_workers_and_one_that_fails_are_reported_and_the_others_done(cluster, worker, tmp_path):
    directory = changed(tmp_path / "led", generation={"max_length": 3})
    (directory / "added_tokens.json").write_text('{"<a>": 600}', encoding="utf-8")
    texts = ["deadly", *TEXTS[:2], "One <a> lamp.", "", *TEXTS[2:4]]
    results = pyled.summarize(texts, directory, errors="record", client=cluster.client)
    alone = pyled.summarize(["", *texts[1:]], directory, errors="record")
    assert isinstance(results[0], InputError)
    assert str(results[0]).startswith("text[0]: each worker that had it ended: ")
    assert [str(result) for result in results[1:]] == [str(result) for result in alone[1:]]
    assert [type(result) for result in results[1:]] == [type(result) for result in alone[1:]]
    with pytest.raises(InputError, match=r"^text\[1\]: .*600"):
        pyled.summarize([TEXTS[0], "One <a> lamp."], directory, client=cluster.client)


def test_a_worker_that_cannot_write_the_same_is_refused_by_its_name(cluster, worker, tmp_path, caplog):
    summarizer, joined = Summarizer(TINY, max_length=3, num_beams=1), []

    def watch(status):
        if not joined:
            joined.extend(cluster.add(PRELOAD="old"))

    differ = f"pyled is 0.0.1, here {pyled.__version__}: install the same versions on client and workers"
    assert len(summarizer(TEXTS[:4], progress=watch, client=cluster.client)) == 4
    process, other = joined
    assert f"{other}: does not help: {differ}" in caplog.text
    with pytest.raises(InputError, match=re.escape(f"{other}: {differ}")):
        summarizer(TEXTS[:4], client=cluster.client)
    process.kill()
    until(lambda: other not in cluster.client.nthreads())


def test_files_that_differ_or_are_missing_are_told_with_the_worker(cluster, worker, tmp_path, monkeypatch):
    directory = changed(tmp_path / "led", generation={})
    summarizer = Summarizer(directory)
    monkeypatch.setattr(workers, "fingerprint", lambda place: "another hash")
    place = r"tcp://127.0.0.1:\d+"
    with pytest.raises(CheckpointError, match=rf"^{place}: the weights or the config.json of {directory} are others"):
        summarizer(TEXTS[0], client=cluster.client)
    directory.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match=rf"^{place}: {directory} is no directory"):
        summarizer(TEXTS[0], client=cluster.client)


def test_the_command_writes_what_it_does_on_one_machine(cluster, worker, tmp_path, run):
    for i, text in enumerate([*TEXTS[:4], ""]):
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    command = ("summarize", tmp_path, "-m", TINY, "--max-length", 3, "--num-beams", 1)
    scheduler = ("--scheduler", cluster.address)
    assert run(*command, *scheduler) == run(*command)
    status, _, err = run(*command, *scheduler, "-o", f"{tmp_path}/out/", "--format", "json")
    assert (status, err) == (1, f"pyled: {tmp_path}/4.txt: the text is empty: there is nothing to read\n"
                                "pyled: 1 of 5 inputs failed\n")  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{i}.summary.json" for i in range(4)]
    status, out, err = run(*command, *scheduler, "--threads", 99)
    assert (status, out) == (2, "")
    assert re.search(r"pyled summarize: error: tcp://127.0.0.1:\d+: 99 threads: a whole number between 1 and ", err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scheduler", "local:2", "--dry-run"), "--scheduler goes with neither --stream nor --dry-run"),
        (("--scheduler", "local:2", "--stream", "--num-beams", 1), "--scheduler goes with neither --stream nor "),
        (("--scheduler", "local:99"), "local:99 is 99 workers, but there are "),
        (("--scheduler", "local:0"), "scheduler is 'local:0': pass tcp://HOST:PORT, or local:N for N workers here"),
        (("--scheduler", "10.0.0.1:8786"), "scheduler is '10.0.0.1:8786': pass tcp://HOST:PORT, or local:N"),
        (("--scheduler", "tcp://127.0.0.1:1"), "Connection refused): start it with `dask scheduler`"),
        (("--scheduler", "tcp://127.0.0.1:99999"), "no scheduler answers at tcp://127.0.0.1:99999 (Port out of range"),
    ],
)
def test_a_scheduler_that_cannot_be_used_is_told(summarize, note, arguments, message, monkeypatch):
    monkeypatch.setattr(workers, "CONNECTING", 0.2)
    status, out, err = summarize(note, *arguments)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]


def test_tls_without_its_settings_is_told_and_leaves_no_client_that_delays_the_end(summarize, note):
    def clients():
        return sum(type(one) is distributed.Client for one in gc.get_objects())

    with socket.create_server(("127.0.0.1", 0)) as server:
        before, address = clients(), f"tls://127.0.0.1:{server.getsockname()[1]}"
        status, out, err = summarize(note, "--scheduler", address)
    assert (status, out) == (2, "")
    assert f"no scheduler answers at {address} (TLS expects" in err.splitlines()[-1]
    assert clients() == before


def test_what_no_worker_can_do_is_refused(cluster):
    summarizer = Summarizer(TINY, max_length=3)
    with pytest.raises(InputError, match=r"client is 'tcp://': pass a distributed\.Client"):
        summarizer(TEXTS, client="tcp://")
    with pytest.raises(InputError, match="leave out client, or stream"):
        summarizer(TEXTS[0], client=cluster.client, stream=print)
    in_memory = Summarizer(summarizer.loaded.model, summarizer.loaded.tokenizer, max_length=3)
    with pytest.raises(InputError, match="the model is in memory, where no worker can read it"):
        in_memory(TEXTS, client=cluster.client)


def test_without_dask_the_command_to_install_it_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "pyled.tasks.workers")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"run `python -m pip install 'pyled\[dask\]'`"):
        Summarizer(TINY)(TEXTS, client=object())


def is_there(group):
    """Say whether a group has processes."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_local_workers_end_with_an_interrupted_command_and_the_next_one_goes_on(tmp_path):
    for i in range(8):
        (tmp_path / f"{i}.txt").write_text(TEXTS[i], encoding="utf-8")
    command = ("summarize", tmp_path, "-m", TINY, "--max-length", 3, "--num-beams", 1, "-o", f"{tmp_path}/out/",
               "--scheduler", "local:2", "--skip-existing")  # fmt: skip
    children = []

    def interrupt(child):
        children.append(child.pid)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does

    more = {"env": {"NUMBA_NUM_THREADS": "2"}, "start_new_session": True}
    status, _, told = watched(command, b"summarizing 1/8", interrupt, **more)
    assert (status, re.sub(r"summarizing \d/8 texts, about [\d:]+ left", "", told).strip()) == (130, "")
    until(lambda: not is_there(*children))
    status, _, told = watched(command, **more)
    assert status == 0
    done = {path.name: path.read_text(encoding="utf-8").strip() for path in (tmp_path / "out").iterdir()}
    alone = Summarizer(TINY, max_length=3, num_beams=1)(TEXTS[:8])
    assert done == {f"{i}.summary.txt": summary.text for i, summary in enumerate(alone)}
