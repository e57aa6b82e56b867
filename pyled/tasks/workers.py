"""15. The work on several machines: the workers of a Dask scheduler, each with the model, take batches of texts."""

import asyncio
import contextlib
import gc
import hashlib
import logging
import pickle
import queue
import re
import socket
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from ..checkpoint.directory import FORMATS
from ..errors import CheckpointError, InputError, PyledError, brief, one_line
from ..hub import CONFIG, SYNOPSIS, WEIGHTS, located
from ..kernels.jit import most_threads, set_threads
from .batching import Finished, put_in_order
from .loading import load, types_of
from .progress import Status, Work
from .reading import Source
from .running import raised
from .summarizing import Summarizer
from .summary import Summary, versions

try:
    import distributed
    from distributed.scheduler import KilledWorker
except ImportError as e:
    raise InputError(f"Dask is not installed ({e}): run `python -m pip install 'pyled[dask]'`") from None

MOST = 64  # texts of a batch: those of like length are decoded together
LONGEST = 60.0  # seconds that the estimate gives a batch: what is lost where its worker dies
PATIENCE = 1.0  # seconds between two looks at who is there
CONNECTING = 10.0  # seconds at most

Place = tuple[str | None, str | None]  # of a model: its directory, or its name on a hub and the commit
Text = tuple[int, Source, Finished]  # its number, and the summaries of its chunks that are there already
Result = Summary | Exception

# In a worker on this machine: Ctrl-C in a terminal is sent to it, too, and its client ends it.
_NO_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"

_log = logging.getLogger("pyled")


# On a worker


class Writer(distributed.WorkerPlugin):  # type: ignore[misc]
    """A Summarizer on each worker that is there, and on each that joins later.

    A worker that can write what the client would has one unit of the resource `name`, and each batch takes one. So
    batches come to such workers only, and one at a time: on a second thread it would wait for the same kernels.
    """

    def __init__(self, name: str, /, **job: Any) -> None:
        """name: of this plugin, and of the resource; job: what `_load` takes"""
        self.name, self._is_over = name, False
        self.refusal: Exception | None = None
        self._versions, self._job = versions(), pickle.dumps(job)  # subtle: another version may fail to read the job

    async def setup(self, worker: Any) -> None:
        """Load the model, while the worker's own loop goes on; or tell the client why this worker cannot help."""
        self._forward = logging.Handler()
        self._forward.emit = lambda record: worker.log_event(  # type: ignore[method-assign]
            self.name, [worker.address, record.getMessage(), False]
        )
        # subtle: where client and worker share a process, the client logs here what it is told
        self._forward.addFilter(lambda record: not hasattr(record, "worker"))
        _log.addHandler(self._forward)
        try:
            check_versions(versions(), self._versions)
            await asyncio.to_thread(self._load, **pickle.loads(self._job))
            await worker.set_resources(**{self.name: 1})
            if worker.status == distributed.Status.running:
                # subtle: a batch that found no worker is looked at again only when one begins to run
                worker.status = distributed.Status.paused
                worker.status = distributed.Status.running
        except Exception as e:
            self.refusal = e.at(worker.address) if isinstance(e, PyledError) else e
            worker.log_event(self.name, [worker.address, f"{e}", True])

    def _load(
        self, place: Place, files: str, threads: int | None, types: dict[str, str], how: Any, plan: Any, **shown: Any
    ) -> None:
        if fingerprint(place) != files:
            raise CheckpointError(f"the weights or the config.json of {shown['name']} are others than here: copy them")
        if threads is not None:
            set_threads(threads)
        loaded = load(place[0], revision=place[1], **how)
        if (theirs := types_of(loaded.model)) != types:  # a processor may lack what int16 needs
            raise InputError(f"this worker computes in {theirs}, not in {types}: leave it out, or pass other types")
        self._summarizer = Summarizer(replace(loaded, **shown))
        self._summarizer.plan = plan

    def teardown(self, worker: Any) -> None:
        """Stop the batch at work; where it is still asked for, another worker writes it."""
        self._is_over = True
        _log.removeHandler(self._forward)

    def write(self, texts: Sequence[Text]) -> list[Result]:
        """Return the summary of each text, or its error."""
        work, sources = Work(self._watch, [1.0] * len(texts)), [source for _, source, _ in texts]
        each = self._summarizer.write_each(enumerate(sources), work, lambda i, _: texts[i][2])
        results = [result for _, result in each]
        for result in results:
            if isinstance(result, Exception):  # Dask would send all that stands behind it
                result.__context__ = result.__cause__ = result.__traceback__ = None
        return results

    def _watch(self, status: Status) -> None:
        if self._is_over:
            raise _Over


class _Over(BaseException):
    """A batch is to end at once; no Exception, which would be a text's."""


def _write(name: str, texts: Sequence[Text]) -> list[Result]:
    writer: Writer = distributed.get_worker().plugins[name]
    try:
        return writer.write(texts)
    except _Over:
        raise distributed.Reschedule from None


def _refusal(name: str, dask_worker: Any) -> Exception | None:
    writer: Writer | None = dask_worker.plugins.get(name)  # None where the worker joins at this moment
    return writer and writer.refusal


def check_versions(theirs: Any, ours: Mapping[str, str]) -> None:
    """Raise InputError where a worker has other versions than the client, or no pyled."""
    if isinstance(theirs, Exception):
        raise InputError(f"pyled does not start there ({theirs}): install pyled {ours['pyled']}, with its dependencies")
    others = [f"{name} is {theirs.get(name)}, here {ours[name]}" for name in ours if theirs.get(name) != ours[name]]
    if others:
        raise InputError(f"{'; '.join(others)}: install the same versions on client and workers")


def fingerprint(place: Place) -> str:
    """Return a hash of the files of a checkpoint that make its model. Raises CheckpointError."""
    lookup: dict[str, Any] = {} if place[1] is None else {"revision": place[1]}
    directory, digest = located(place[0], CONFIG, WEIGHTS, **lookup), hashlib.sha256()
    names = sorted(path.name for path in directory.iterdir())
    form = next((form for form in FORMATS if {form.single, form.index} & {*names}), FORMATS[0])
    shards = [name for name in names if name.endswith(form.suffix)]
    for name in ("config.json", *([form.single] if form.single in names else shards)):
        with (directory / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


# On the client


class Workers:
    """The workers of a scheduler, while they write a Summarizer's summaries: `with Workers(...) as workers`."""

    def __init__(self, client: Any, summarizer: Summarizer, threads: int | None = None) -> None:
        """client: a distributed.Client; threads: of each worker, None for as many as it takes. Raises InputError."""
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise InputError(f"client is {brief(client)}: pass a distributed.Client that is not asynchronous")
        self._client, self._summarizer, loaded = client, summarizer, summarizer.loaded
        if loaded.name == "in memory":
            raise InputError("the model is in memory, where no worker can read it: pass its directory, or its name")
        name, _, commit = loaded.name.rpartition("@")
        is_on_hub = re.fullmatch("[0-9a-f]{40}", commit) and not Path(loaded.name).exists()
        place: Place = (name, commit) if is_on_hub else (str(Path(loaded.name).absolute()), None)
        place = (None, None) if loaded.name == str(SYNOPSIS) else place
        model, tokenizer = loaded.model, loaded.tokenizer
        types = {"dtype": model.dtype.name, "weights": model.stored_as, "encoder": model.encoder_arithmetic}
        self.name = f"pyled-{uuid.uuid4().hex}"  # a scheduler has many clients, and runs
        self._writer = Writer(
            self.name,
            place=place,
            files=fingerprint(place),
            threads=threads,
            types=types_of(model),
            how={"tokenizer": tokenizer, **types},
            plan=summarizer.plan,
            name=loaded.name,
            notes=loaded.notes,
        )
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()  # futures
        self._running: dict[Any, list[Text]] = {}
        self._refused: set[str] = set()
        self._told: set[str] = set()
        self._is_open = self._is_ready = False

    def __enter__(self) -> Self:
        """Load the model on each worker. Raises InputError, CheckpointError where one cannot write what this would."""
        self._present()
        self._client.wait_for_workers(1)
        for worker, theirs in self._client.run(versions, on_error="return").items():
            try:
                check_versions(theirs, versions())
            except InputError as e:
                raise e.at(worker) from None
        self._is_open = True
        try:
            self._client.subscribe_topic(self.name, lambda event: self._tell(*event[1]))
            self._client.register_plugin(self._writer, self.name)
            for refusal in filter(None, self._client.run(_refusal, self.name).values()):
                raise refusal
        except BaseException:
            self.close()
            raise
        self._is_ready = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what the workers write, and take the model from them."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(Exception):  # the scheduler may have gone
                self._client.cancel([*self._running])
                self._client.unsubscribe_topic(self.name)
                remove = self._client.scheduler.unregister_worker_plugin
                self._client.sync(remove, name=self.name, callback_timeout=10)

    def write(self, source: Source, work: Work) -> Summary:
        """Return the summary of one text, or raise its error."""
        ((_, result),) = self.write_each([(0, source)], work)
        return raised(result)

    def write_each(
        self,
        sources: Iterable[tuple[int, Source]],
        work: Work,
        finished: Callable[[int, Source], Finished | None] = lambda number, source: None,
        in_order: bool = True,
    ) -> Iterator[tuple[int, Result]]:
        """Yield the number of each text with its summary, or its error, as `Summarizer.write_each` does.

        Sources are taken when a worker is free. Raises ConnectionError where the scheduler has gone.
        """
        order = deque[int]()

        def texts() -> Iterator[Text]:
            for number, source in sources:
                order.append(number)
                there = finished(number, source) or {}
                yield number, source, {chunk.key: there[chunk.key] for chunk in source.chunks if chunk.key in there}

        results = self._results(texts(), work)
        return put_in_order(results, order) if in_order else results

    def _results(self, texts: Iterator[Text], work: Work) -> Iterator[tuple[int, Result]]:
        sizes, alone, began, done = work.sizes, deque[list[Text]](), time.monotonic(), 0
        ahead = left = sum(sizes)
        while True:
            workers = self._present()
            while len(self._running) < workers:
                batch = alone.popleft() if alone else self._batch(texts, sizes, ahead / (2 * workers))
                if not batch:
                    break
                ahead -= sum(sizes[number] for number, *_ in batch)
                future = self._client.submit(_write, self.name, batch, resources={self.name: 1}, pure=False)
                self._running[future] = batch
                future.add_done_callback(self._ended.put)
            if workers and not self._running:
                return
            batch, results = self._next()
            if results is None:
                alone.extend([text] for text in batch)
                continue
            for (number, *_), result in zip(batch, results, strict=True):
                done, left = done + 1, left - sizes[number]
                share = min(1.0, max(1 - left / (sum(sizes) or 1.0), 1e-9))
                seconds = (time.monotonic() - began) * (1 / share - 1)
                place = (number, len(sizes), 0, 0, 1, len(batch))
                work.watch(Status(*place, "summarizing", done, len(sizes), share, seconds))
                yield number, result

    def _batch(self, texts: Iterator[Text], sizes: Sequence[float], share: float) -> list[Text]:
        """Return the next texts for a worker: a share of what is left, so that all workers end together."""
        batch, seconds = list[Text](), 0.0
        for text in texts:
            batch.append(text)
            share, seconds = share - sizes[text[0]], seconds + self._summarizer.estimate(text[1].chunks).seconds
            if share <= 0 or seconds >= LONGEST or len(batch) == MOST:
                break
        return batch

    def _next(self) -> tuple[list[Text], list[Result] | None]:
        """Return a batch that has ended, if there is one, with its results; None where each text is tried alone now."""
        try:
            future = self._ended.get(timeout=PATIENCE)
        except queue.Empty:
            return [], []
        batch = self._running.pop(future)
        try:
            return batch, future.result()
        except CancelledError:
            raise self._gone() from None
        except Exception as e:
            killed = "each worker that had it ended: give workers more memory, or pass a shorter text or fewer beams"
            return batch, None if len(batch) > 1 else [InputError(killed) if isinstance(e, KilledWorker) else e]

    def _present(self) -> int:
        """Return how many workers can help; tell where none can. Raises ConnectionError."""
        try:
            workers = self._client.nthreads().keys() - self._refused
        except (OSError, RuntimeError):
            raise self._gone() from None
        if not workers:
            self._tell("", f"{self._client.scheduler.address} has no worker that can help: one is waited for", False)
        return len(workers)

    def _gone(self) -> ConnectionError:
        return ConnectionError(
            f"the scheduler {self._client.scheduler.address} has gone: start it, and do the rest again"
        )

    def _tell(self, worker: str, message: str, is_refused: bool) -> None:
        """Tell what a worker says, once for all workers."""
        if is_refused:
            self._refused.add(worker)
            message = f"does not help: {message}" if self._is_ready else ""  # else an error is raised
        if message and message not in self._told:
            self._told.add(message)
            _log.warning("%s", one_line(f"{worker}: {message}" if worker else message), extra={"worker": worker})


@contextlib.contextmanager
def connected(scheduler: str, threads: int | None) -> Iterator[tuple[Any, int | None]]:
    """Yield a client, and the threads of each worker.

    scheduler: its address; or local:N, for N workers on this machine, which end with the block
    threads: of each worker; of all together, where they are local; None for as many as there are

    Raises InputError for another scheduler, or one that does not answer.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # Dask's own, of versions, and what it logs: we tell what matters
        for name in [name for name in logging.root.manager.loggerDict if name.startswith(("distributed", "tornado"))]:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        if local := re.fullmatch(r"local:([1-9]\d{0,3})", scheduler):
            count, whole = int(local[1]), threads or most_threads()
            if count > whole:
                raise InputError(f"{scheduler} is {count:,} workers, but there are {whole:,} threads: pass fewer")
            threads = whole // count
            address: Any = distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"allowed_failures": 1},
                preload=[_NO_INTERRUPT],
            )
            stack.enter_context(address)
        elif re.fullmatch(r"(tcp|tls)://\S+:\d+", scheduler):
            address = scheduler
        else:
            raise InputError(f"scheduler is {brief(scheduler)}: pass tcp://HOST:PORT, or local:N for N workers here")
        yield stack.enter_context(_client(address, scheduler)), threads


def _client(address: Any, scheduler: str) -> Any:
    """Return a client of the scheduler at an address, or of a local one. Raises InputError where none answers."""
    try:
        if address == scheduler:  # subtle: where nothing listens, Dask would ask again and again
            place = urlsplit(scheduler)
            socket.create_connection((place.hostname, place.port or 0), CONNECTING).close()
        return distributed.Client(address, timeout=CONNECTING, set_as_default=False)
    except (OSError, ValueError, TypeError) as e:  # TypeError: TLS without its settings
        reason = f"{e}"
    gc.collect()  # subtle: Python's end would wait 20 seconds for Dask's broken client, which an error above holds, too
    raise InputError(f"no scheduler answers at {scheduler} ({reason}): start it with `dask scheduler`")
