"""Forks, threads, and kills: what happens to a model in a process that is not alone.

The scenarios run in processes of their own, because a threading layer, once started, stays.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest
from checkpoints import TINY

import pyled
from pyled.kernels import jit

ROOT = Path(pyled.__file__).parent.parent
COMPILED = not numba.config.DISABLE_JIT
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def run(code, *arguments, timeout=600, **environment):
    """What Python code tells, errors first, in a process of its own, which must end well."""
    # Python 3.12 warns of every fork of a process with threads; here that is the question.
    command = [sys.executable, "-P", "-W", "error", "-W", "ignore::DeprecationWarning", "-c", COMMON + code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stderr + done.stdout


# A model too small to take time; `answer` uses every kernel.
COMMON = """
import multiprocessing, os, sys, threading, time
import numba
import numpy as np
import pyled

def small_model(seed):
    shape = {"vocab_size": 60, "d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 40}
    heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 2, "decoder_ffn_dim": 30, "init_std": 0.5}
    positions = {"attention_window": 8, "max_encoder_position_embeddings": 99, "max_decoder_position_embeddings": 9}
    return pyled.LEDForConditionalGeneration(pyled.LEDConfig(**shape, **heads, **positions), seed)

S, ROUNDS = (6, 1) if numba.config.DISABLE_JIT else (40, 5)
IDS = np.arange(2 * S).reshape(2, S) % 50 + 5

def answer(model):
    marks = np.zeros_like(IDS)
    marks[:, 0] = 1
    out = model(IDS, decoder_input_ids=IDS[:, :3], global_attention_mask=marks)
    ids = model.generate(IDS, num_beams=2, max_length=4)
    return out.logits.tobytes() + ids.tobytes()

def in_threads(models):
    expected = [answer(model) for model in models]
    found = [[] for _ in models]
    def work(i):
        for _ in range(ROUNDS):
            found[i].append(answer(models[i]))
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all(got == wanted for each, wanted in zip(found, expected) for got in each)

def in_child(function):
    '''Fork, and exit with what the function says; a child that hangs is killed.'''
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    for _ in range(1200 if numba.config.DISABLE_JIT else 20000):  # what is compiled in a child takes long
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hangs"
"""

FORKS = """
def must(name, said, wanted):
    if said != wanted:
        sys.exit(f"{name}: {said}, expected {wanted}")

model = small_model(0)
unused = in_child(lambda: answer(small_model(0)) == answer(small_model(0)))  # before any use
expected = answer(model)
if len(sys.argv) > 1:
    must("layer", numba.threading_layer(), sys.argv[1])
must("unused", unused, 0)
must("child", in_child(lambda: answer(model) == expected), 0)
must("grandchild", in_child(lambda: in_child(lambda: answer(model) == expected) == 0), 0)
must("thread of a child", in_child(lambda: in_threads([model])), 0)
must("parent", answer(model) == expected, True)

def work(seed):
    return answer(model if seed == 0 else small_model(seed))

expected_of = [work(seed) for seed in range(4)]
with multiprocessing.get_context("fork").Pool(2) as pool:
    answers = pool.map_async(work, [0, 1, 2, 3] * 2, chunksize=1)
    must("parent at work", all(work(seed) == expected_of[seed] for seed in range(4)), True)
    must("pool", answers.get() == expected_of * 2, True)

# A fork while another thread computes.
stop = threading.Event()
wrong = []
def keep_computing():
    while not stop.is_set():
        if answer(model) != expected:
            wrong.append(True)
thread = threading.Thread(target=keep_computing)
thread.start()
try:
    for i in range(5):
        time.sleep(0.003 * i)
        must("while another thread computes", in_child(lambda: answer(model) == expected), 0)
finally:
    stop.set()
    thread.join()
must("the other thread", wrong, [])
print("done")
"""

THREADS = """
one, other = small_model(0), small_model(1)
print("one model", in_threads([one, one, one]))
print("two models", in_threads([one, other]))
"""

SPINNING = """
before = dict(os.environ)
answer(small_model(0))
print(dict(os.environ) == before)
"""

LAYERS = [None, "workqueue", "omp", "tbb"] if COMPILED else [None]


def is_available(layer):
    """Whether Numba can start a layer on this machine."""
    code = "import numpy as np; from pyled.kernels import products; products.weighted_sums(*np.ones((2, 1, 9, 9)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_THREADING_LAYER": layer}
    return (
        subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=False).returncode
        == 0
    )


@pytest.fixture(params=LAYERS, ids=str)
def layer(request):
    """The environment of a threading layer: Numba's own choice, or one that is there."""
    if request.param is None:
        return {}
    if not is_available(request.param):
        pytest.skip(f"Numba has no {request.param} here")
    return {"NUMBA_THREADING_LAYER": request.param}


@needs_fork
def test_a_process_forked_after_use_computes_the_same(layer):
    assert run(FORKS, *layer.values(), **layer).endswith("done\n")  # tbb writes of its own accord at each fork


def test_threads_of_one_program_get_the_right_answers(layer):
    assert run(THREADS, **layer).splitlines() == ["one model True", "two models True"]


@pytest.mark.parametrize("own", [{}, {"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "PASSIVE"}], ids=str)
def test_threads_of_gnu_openmp_soon_sleep_unless_the_user_has_said_else(own):
    if not COMPILED or not sys.platform.startswith("linux") or not is_available("omp"):
        pytest.skip("no kernel runs on GNU OpenMP here")
    told = run(SPINNING, NUMBA_THREADING_LAYER="omp", OMP_DISPLAY_ENV="VERBOSE", **own)  # by libgomp, as it is loaded
    assert told.endswith("True\n")
    waits = {"GOMP_SPINCOUNT": jit.SPINS} if not own else own | {"GOMP_SPINCOUNT": own.get("GOMP_SPINCOUNT", "0")}
    assert all(f"{name} = '{value}'" in told for name, value in waits.items())


MEMORY = """
import resource
from collections import Counter

def model(E, S, heads):
    shape = {"vocab_size": 100, "d_model": E, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.5}
    shape |= {f"{stack}_{name}": n for stack in ("encoder", "decoder")
              for name, n in (("attention_heads", heads), ("ffn_dim", 16))}
    positions = {"max_encoder_position_embeddings": S, "max_decoder_position_embeddings": 9, "attention_window": 64}
    ids = np.arange(S)[None] % 90 + 5
    return pyled.LEDForConditionalGeneration(pyled.LEDConfig(**shape, **positions), 0), ids

# What their kernels compute in takes more memory than their arrays: a head of many numbers, and many beams.
(wide, few), (narrow, many) = model(1024, 48, 1), model(16, 1500, 2)

def forward():
    return wide(few, decoder_input_ids=few[:, :1]).logits.tobytes()

def generate():
    return narrow.generate(many, num_beams=64, max_length=3).tobytes()

for call in (forward, generate):
    expected, counts = call(), Counter()
    call()
    for room in range(0, int(sys.argv[1]), 50_000):
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
        try:
            counts[call() == expected] += 1
        except MemoryError:
            counts["MemoryError"] += 1
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(*sorted(map(str, counts)), call() == expected)
"""


@pytest.mark.skipif(not COMPILED or not sys.platform.startswith("linux"), reason="machine code on Linux is asked")
@pytest.mark.parametrize("layer", ["workqueue", "omp"])
def test_without_memory_an_answer_is_right_or_a_memory_error(layer):
    if not is_available(layer):
        pytest.skip(f"Numba has no {layer} here")
    # Blocks from this size on go back to the system, so that each call asks anew.
    returned = {f"MALLOC_{name}_": "65536" for name in ("MMAP_THRESHOLD", "TRIM_THRESHOLD")} | {"MALLOC_ARENA_MAX": "1"}
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2", **returned}
    run(MEMORY, 0, **environment)  # compiles, which would leave much memory free
    assert run(MEMORY, 3_000_000, **environment) == "MemoryError True True\n" * 2


FEW_THREADS = """
import hashlib, resource
if sys.argv[1:] and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 30, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.RLIM_INFINITY))
    os.execv(sys.executable, sys.orig_argv)
print(hashlib.sha256(answer(small_model(0))).hexdigest())
"""


@pytest.mark.skipif(not COMPILED or not sys.platform.startswith("linux"), reason="machine code on Linux is asked")
def test_where_no_more_threads_can_be_started_answers_are_the_same(layer):
    """As where their number is limited; here a thread's stack is larger than all the memory that may be used."""
    environment = {"NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1", **layer}
    expected, limited = (run(FEW_THREADS, *arguments, **environment) for arguments in ([], ["limited"]))
    assert limited[-65:] == expected[-65:]


# Machine code on disk

MACHINE_CODE = """
import errno, importlib, resource
from numba.core.compiler import CompileResult

def no_memory(self):
    raise MemoryError

def no_writing(event, arguments):
    is_writing = event in ("os.mkdir", "os.rename", "os.link") or event == "open" and arguments[2] & os.O_ACCMODE
    if is_writing and arguments[0] != os.devnull:
        print("writing", event, arguments[0])
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

def copied(dtype):
    from pyled.kernels.rows import select_past
    out = np.zeros((1, 1, 3, 2), dtype)
    select_past(np.arange(6, dtype=dtype).reshape(out.shape), 2, np.array([0]), out)
    return out.ravel().tolist() == [0, 1, 2, 3, 0, 0]

for order in sys.argv[1:]:
    if order == "write nothing":
        sys.addaudithook(no_writing)
    elif order == "one thread":
        os.environ["NUMBA_NUM_THREADS"] = "1"
    elif order == "full disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    elif order == "no memory":
        CompileResult._reduce = no_memory
    elif order == "fork":
        print(in_child(lambda: copied("float32")))
    elif order.startswith("pyled."):
        importlib.import_module(order)
    else:
        print(order, copied(order))
"""


def machine_code(place, *orders, **environment):
    """The lines that MACHINE_CODE prints, compiled in any case; announcements first."""
    environment |= {"NUMBA_DISABLE_JIT": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return run(MACHINE_CODE, *orders, NUMBA_CACHE_DIR=str(place), **environment).splitlines()


def compiling(numbers, folder):
    return f"compiling for this processor ({numbers}), about half a minute, to be kept in {folder}"


def not_kept(folder, reason):
    hint = "name another folder in NUMBA_CACHE_DIR"
    return f"each process compiles: nothing can be kept in {folder} ({reason}): {hint}"


def test_machine_code_is_written_once_and_each_compilation_is_announced(tmp_path):
    first = machine_code(tmp_path, "float32", "float32")
    (folder,) = (tmp_path / "pyled").iterdir()
    assert re.fullmatch("kernels-[0-9a-f]{16}", folder.name)
    assert {place.stat().st_mode & 0o777 for place in (folder, folder.parent)} == {0o700}
    assert first == [compiling("float32", folder), "float32 True", "float32 True"]
    assert machine_code(tmp_path, "float32", "float64") == [
        compiling("float64", folder),
        "float32 True",
        "float64 True",
    ]
    assert machine_code(tmp_path, "write nothing", "float32", "float64") == ["float32 True", "float64 True"]


def test_machine_code_that_is_damaged_or_of_another_kernel_is_replaced(tmp_path):
    """A file is not loaded in part: damaged machine code would be run."""
    kinds = ["float32", "int32", "int64"]
    done = [f"{kind} True" for kind in kinds]
    written = []
    for kind in kinds:
        machine_code(tmp_path, kind)
        written += [file for file in tmp_path.glob("pyled/*/*") if file not in written]
    whole = [file.read_bytes() for file in written]
    flipped = bytearray(whole[1])
    flipped[len(flipped) // 2] ^= 1
    damaged = [whole[0][:1000], bytes(flipped), whole[0]]
    for file, data in zip(written, damaged, strict=True):
        file.write_bytes(data)
    abandoned, younger = (written[0].with_name(f".{kind}.0123abcd.part") for kind in kinds[:2])
    for file in (abandoned, younger):
        file.touch()
    os.utime(abandoned, (0, 0))
    assert machine_code(tmp_path, *kinds) == [compiling("float32", written[0].parent), *done]
    assert set(written[0].parent.iterdir()) == {*written, younger}
    assert machine_code(tmp_path, "write nothing", *kinds) == done


def test_processes_that_compile_at_once_leave_code_for_all(tmp_path):
    orders = [("float32", "int32"), ("int32", "float32")]
    with ThreadPoolExecutor() as threads:
        assert all(said[-1].endswith("True") for said in threads.map(lambda o: machine_code(tmp_path, *o), orders))
    assert machine_code(tmp_path, "write nothing", *orders[0]) == ["float32 True", "int32 True"]


@pytest.mark.parametrize(
    ("order", "reason"), [("full disk", "File too large"), ("no memory", "MemoryError()")], ids=lambda value: value
)
def test_machine_code_that_cannot_be_written_is_told_once_and_run(order, reason, tmp_path):
    first, *rest = machine_code(tmp_path, order, "float32", "float64")
    (folder,) = (tmp_path / "pyled").iterdir()
    float64 = "compiling for this processor (float64), about half a minute, in each process"
    assert [first, *rest] == [
        compiling("float32", folder), not_kept(folder, reason), float64, "float32 True", "float64 True",
    ]  # fmt: skip
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")
def test_machine_code_that_another_user_can_have_written_is_neither_loaded_nor_added_to(tmp_path, monkeypatch):
    folder = tmp_path / "pyled" / "kernels"
    folder.mkdir(parents=True)
    monkeypatch.setattr(jit, "_folder", lambda: folder)

    def can_be_used(make):
        try:
            jit._check_folder(make=make)
        except PermissionError:
            return False
        return True

    assert can_be_used(False) and can_be_used(True)
    for place in (folder, folder.parent):
        for mode in (0o720, 0o702):
            place.chmod(mode)
            assert not can_be_used(False) and not can_be_used(True)
        place.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, 12345, -1)
    else:  # the user of this process becomes another one
        monkeypatch.setattr(jit, "__file__", "/")
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not can_be_used(False) and not can_be_used(True)


@needs_fork
def test_the_first_compilation_after_a_fork_is_announced(tmp_path):
    if not is_available("omp"):
        pytest.skip("Numba has no omp here")
    lines = machine_code(tmp_path, "float32", "fork", NUMBA_THREADING_LAYER="omp")
    (folder,) = (tmp_path / "pyled").iterdir()
    announced = [compiling(numbers, folder) for numbers in ("float32", "float32, on one thread")]
    assert lines == [*announced, "float32 True", "0"]


def test_where_nothing_can_be_written_kernels_run(tmp_path):
    (tmp_path / "file").touch()  # no folder can be made in it, not even by root
    nowhere = str(tmp_path / "file" / "below")
    announced, told, *_, result = machine_code(nowhere, "write nothing", "float32", HOME=nowhere, TMPDIR=nowhere)
    folder = announced.rpartition(" ")[2]
    assert (announced, told) == (compiling("float32", folder), not_kept(folder, "Read-only file system"))
    assert result == "float32 True" and folder.startswith(nowhere)


def test_a_number_of_threads_that_is_set_after_the_import_is_no_error(tmp_path):
    said = machine_code(tmp_path, "pyled.kernels.rows", "one thread", "float32", "float64")
    assert said[-2:] == ["float32 True", "float64 True"]


def test_importing_writes_nothing(tmp_path):
    modules = ("pyled.models", "pyled.tasks", "pyled.kernels.rounded", "pyled.cli.dispatch")
    assert machine_code(tmp_path, "write nothing", *modules) == []
    assert list(tmp_path.iterdir()) == []


# Interrupts of a program

INTERRUPTS = """
import itertools, random, signal
from llvmlite.binding import executionengine

moments, string_at = [], executionengine.string_at

def in_a_callback(*arguments):  # in one of LLVM, which drops what it raises
    for pause in moments:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(pause)
    moments.clear()
    return string_at(*arguments)

executionengine.string_at = in_a_callback
from pyled.kernels.rows import select_past

kinds = itertools.product(["f4", "f8", "i4", "i8", "u4", "u8", "i2", "u2"], repeat=2)  # each is compiled

def copied(kind, size=2):
    past, out = (np.full((1, 2, 9, size), i, dtype) for i, dtype in enumerate(kind, 1))
    select_past(past, 5, np.array([0]), out)
    return bool((out[:, :, :5] == 1).all() and (out[:, :, 5:] == 2).all())

def caught(function, error=KeyboardInterrupt):
    try:
        function()
        time.sleep(0.02)
    except error:
        return True

def at_a_random_time(kind):
    timer = threading.Timer(random.uniform(0, 2), os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    copied(kind)
    timer.join()

random.seed(int(sys.argv[2]))
for _ in range(int(sys.argv[1])):
    kind = next(kinds)
    moments[:] = [0]
    assert caught(lambda: copied(kind)), "lost"
    assert copied(kind)
    kind = next(kinds)
    assert caught(lambda: at_a_random_time(kind)), "lost"
    assert copied(kind)

# A second one does not wait; what is compiled goes on.
kind, count = next(kinds), len(select_past.parallel.overloads)
moments[:] = [0.2, 1]
assert caught(lambda: copied(kind))
assert len(select_past.parallel.overloads) == count
assert copied(kind) and len(select_past.parallel.overloads) == count + 1

# The handlers are the program's; what they raise is raised once.
def too_late(*_):
    calls.append(True)
    raise TimeoutError

calls, kind = [], next(kinds)
signal.signal(signal.SIGINT, too_late)
moments[:] = [0]
assert caught(lambda: copied(kind), TimeoutError) and calls == [True] and copied(kind)
assert signal.getsignal(signal.SIGINT) is too_late
signal.signal(signal.SIGINT, signal.default_int_handler)

# One thread compiles, the main one is interrupted. (Python can forget a thread when its join is interrupted.)
kind, right, done = next(kinds), [], threading.Event()
moments[:] = [0]
def work():
    right.append(copied(kind))
    done.set()
threading.Thread(target=work).start()
assert caught(done.wait)
done.wait()
assert right == [True] and copied(kind)

# Kernels run, one after the other.
stop = threading.Event()
done.clear()
def interrupt():
    while not stop.wait(0.002):
        os.kill(os.getpid(), signal.SIGINT)
        done.wait(9)
        done.clear()
count = 0
thread = threading.Thread(target=interrupt)
thread.start()
while count < 200:
    try:
        while True:
            assert copied(kind, 20000)
    except KeyboardInterrupt:
        count += 1
        done.set()
stop.set()
thread.join()
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert right == [True, True]
print("done")
"""


@pytest.mark.skipif(os.name != "posix", reason="interrupts are sent as in POSIX")
def test_an_interrupt_of_a_program_comes_once_and_leaves_kernels_that_work(tmp_path, tries=1):
    """Also while they are compiled. tries: two interrupts each."""
    environment = {"NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run(INTERRUPTS, tries, 0, **environment).endswith("done\n")


# Kills while a checkpoint is saved

KILLS = """
import random, shutil
from collections import Counter
from pathlib import Path

tiny, folder, count, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)

def model(seed, **changed):
    made = small_model(seed)
    return type(made)(pyled.LEDConfig.from_dict(made.config.to_dict(), **changed), seed)

# The second has the first one's shapes and another window, and the last all of its configuration but the number of
# beams: their weights with the first one's settings would load.
savers = [model(0), model(1, attention_window=4), model(2, encoder_layers=2), model(3)]
for i, number in enumerate((3, 4, 5, 6)):
    savers[i].generation_config.num_beams = number
tokenizers = [pyled.LEDTokenizer.from_pretrained(tiny, additional_special_tokens=["<a>"] * n) for n in (0, 1)]
versions = {}
for saver in [*savers, *tokenizers, tokenizers[0]]:  # the last one empties added_tokens.json
    saver.save_pretrained(folder / "alone")
    for path in (folder / "alone").iterdir():
        versions.setdefault(path.name, []).append(path.read_bytes())

MODEL = ("config.json", "generation_config.json", "model.safetensors")
target = folder / "target"
savers[0].save_pretrained(target)
tokenizers[0].save_pretrained(target)
counts = Counter()
for round in range(count):
    first, kind = rng.randrange(4), rng.choice(["model", "model", "tokenizer"])
    pid = os.fork()
    if pid == 0:
        if round % 2:  # it kills itself instead of a renaming
            left = [None] * rng.randrange(6)
            def renamed(part, place, replace=Path.replace):
                left.pop() if left else os.kill(os.getpid(), 9)
                return replace(part, place)
            Path.replace = renamed
        try:
            for i in range(first, 10**9):
                (savers[i % 4] if kind == "model" else tokenizers[i % 2]).save_pretrained(target)
        finally:
            os._exit(2)
    if not round % 2:
        time.sleep(rng.uniform(0, 0.04))
        os.kill(pid, 9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9, "the child ended by itself"
    counts["kills between renamings"] += any(target.glob(".*.whole"))
    pyled.LEDForConditionalGeneration.from_pretrained(target)
    pyled.LEDTokenizer.from_pretrained(target)
    for path in target.iterdir():
        if path.name.endswith(".part"):
            assert path.name.startswith("."), path
            counts["unfinished files"] += 1
            path.unlink()
        else:
            assert path.read_bytes() in versions[path.name], f"round {round}: {path.name} is of no version"
    for saved, names in ((savers, MODEL), (tokenizers, set(versions) - set(MODEL) - {"added_tokens.json"})):
        of = [{i for i in range(len(saved)) if versions[name][i] == (target / name).read_bytes()} for name in names]
        assert set.intersection(*of), f"round {round}: files of different versions: {dict(zip(names, of))}"
assert counts["kills between renamings"] > count // 4, counts
print(dict(counts))
"""


@needs_fork
def test_a_kill_at_any_moment_of_saving_leaves_files_that_are_whole(tmp_path):
    """All files of a model, and all of a tokenizer, are of one version."""
    run(KILLS, TINY, tmp_path, 40, 0)


FULL_DISK = """
import resource
from pathlib import Path

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
small_model(0).save_pretrained(folder)
new = small_model(1)
if limit > 20000:  # the weights are smaller than that, the configuration is not
    new = type(new)(pyled.LEDConfig.from_dict({**new.config.to_dict(), "note": "x" * limit}), 1)
before = {path.name: path.read_bytes() for path in folder.iterdir()}
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # no file may grow beyond, as on a disk that is full
try:
    new.save_pretrained(folder)
except OSError as e:
    print(e)
assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are those of POSIX")
@pytest.mark.parametrize("limit", [0, 10, 5000, 20000, 10**6])
def test_a_disk_that_is_full_leaves_the_old_checkpoint_and_is_told_with_the_files_name(limit, tmp_path):
    file = "model.safetensors" if limit <= 20000 else "config.json"
    assert run(FULL_DISK, tmp_path, limit).endswith(f": '{tmp_path / file}'\n")
