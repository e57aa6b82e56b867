"""`pyled bench`: which works there are, who is asked for what, what follows from made-up measurements; no clock."""

import json
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyled.tools.bench.children
import pytest
from checkpoints import TINY, changed
from commands import LAMP, watched
from pyled.tools.bench import report, session, works
from pyled.tools.bench.children import ChildError, Children
from pyled.tools.bench.session import Measured, Plan, Results, Session, Turn
from pyled.tools.bench.works import SHAPE, WORKS, Work, chosen

from pyled.config import LEDConfig
from pyled.errors import InputError
from pyled.tasks import cost

BASE = LEDConfig(**SHAPE)
PLAN = Plan([], BASE, None, 1)
RATES = {"products": 2e11, "reading": 2e10}
MACHINE = {
    "date": "2026-01-02T03:04+00:00",
    "processor": "A Processor",
    "cores": 4,
    "threads": 2,
    "memory": 16e9,
    "versions": {"pyled": "0.1", "python": "3.11", "numpy": "2", "numba": "1"},
    "blas": "some-blas 0.3",
    "threading_layer": "Numba on omp",
    "rates": RATES,
}
PEER = {"torch": "2.13.0", "transformers": "5.23.0", "python": "3.12"}
ENCODE = Work("encode-20", ("main",), "encode", 20)
DECODE = Work("beams-20", ("main",), "decode", 20, 5, 2)
LONG = replace(DECODE, name="long", source=16384, target=64)


# 1. The works


def names(found):
    return [work.name for work in found]


def test_the_main_works_are_the_default_and_a_text_adds_its_own():
    main, left_out = chosen([], False, BASE)
    assert names(main) == [work.name for work in WORKS if work.groups[0] == "main"] and len(main) == 7
    assert left_out == []
    with_text, _ = chosen([], True, BASE)
    assert set(names(with_text)) - set(names(main)) == {"tokenize", "tokenize-offsets", "process"}


def test_works_are_named_alone_or_by_their_group_and_done_once():
    assert names(chosen(["window-64", "encode-1100"], False, BASE)[0]) == ["encode-1100", "window-64"]
    growth = names(chosen(["growth", "encode-4096"], False, BASE)[0])
    assert len(set(growth)) == len(growth) == 10
    assert {"encode-16384", "window-1024", "beams-4096"} < set(growth)


def test_what_a_model_is_too_small_for_is_left_out_or_refused():
    small = replace(BASE, max_encoder_position_embeddings=4096, max_decoder_position_embeddings=64)
    found, left_out = chosen([], False, small)
    assert names(found) == ["encode-1100", "encode-4096"]
    assert left_out[0] == "encode-16384 is left out: the encoder has 4,096 positions only"
    assert left_out[1] == "greedy-1024 is left out: the decoder has 64 positions only"
    for name, said in (("whole", "4,096 positions"), ("tokenize", "--text"), ("encode", "no such work")):
        with pytest.raises(InputError, match=said):
            chosen([name], False, small)
    assert names(chosen(["greedy-1024"], False, replace(small, max_decoder_position_embeddings=65))[0])


def test_a_text_that_is_too_short_is_told():
    found = [work for work in WORKS if work.needs_text]
    text = "\u00e9 " * 199
    assert works.shortfalls([ENCODE, *found], text) == [
        "tokenize: the text has 597 bytes only, instead of 1,000,000",
        "tokenize-offsets: the text has 597 bytes only, instead of 1,000,000",
        "process: the text has 199 words only, instead of 200",
    ]
    assert works.shortfalls(found, "ab cd " * 200_000) == []


def test_only_long_generations_are_extrapolated():
    assert {work.name: work.steps for work in WORKS if work.steps != work.target} == {"beams-16384": 24, "whole": 24}


# 2. What follows from measurements


def test_further_steps_take_what_the_later_ones_took():
    assert session.extrapolated(Turn(13.0, 7, 2.0), 12, 101) == Turn(2.0 + 100, 7, 2.0)
    assert session.extrapolated(Turn(13.0, 7, 2.0), 12, 12) == Turn(13.0, 7, 2.0)
    assert session.extrapolated(Turn(13.0, 7), 0, 0) == Turn(13.0, 7)


def test_rates_are_what_is_counted_by_the_median():
    turns = [Turn(2.0, 1), Turn(4.0, 1)]
    encoding = report.rate(ENCODE, turns, PLAN, RATES)
    operations = cost.encoding_operations(BASE, 20, 1)
    assert (encoding.value, encoding.unit, encoding.part) == (operations / 3, "FLOP/s", operations / 3 / 2e11)
    narrow = report.rate(replace(ENCODE, source=4096, window=64), turns, PLAN, RATES)
    shape = replace(BASE, attention_window=64)
    assert narrow.value == cost.encoding_operations(shape, 4096, 1) / 3
    decoding = report.rate(DECODE, [Turn(5.0, 1, 3.0), Turn(9.0, 1, 3.0)], PLAN, RATES)
    read = cost.step_bytes(BASE, 20)  # in 0.5 and 1.5 seconds for each of the 4 later steps
    assert (decoding.value, decoding.unit, decoding.part) == (read / 1.0, "B/s", read / 2e10)
    text = Work("tokenize", ("text",), "tokenize", 600)
    assert report.rate(text, turns, PLAN, RATES) == report.Rate(200.0, "B/s", None)
    assert report.rate(replace(text, kind="process"), turns, PLAN, RATES) is None


def test_a_token_takes_its_part_of_encoding_and_of_the_later_steps():
    assert report.each(ENCODE, Turn(2.0, 1)) == 0.1
    assert report.each(DECODE, Turn(5.0, 1, 3.0)) == 0.5
    assert report.each(Work("process", ("text",), "process", 200, 32), Turn(5.0, 1)) is None


def pairs():
    """A work with turns of all engines: each engine's are in the order in which they were taken."""
    turns = {
        "pyled": [Turn(1.0, 30), Turn(2.0, 50), Turn(1.0, 40)],
        "float32": [Turn(3.0, 100), Turn(8.0, 90), Turn(9.0, 100)],
        "bfloat16": [Turn(2.0, 60), Turn(2.0, 60), Turn(2.0, 60)],
        "int8": [Turn(2.5, 70), Turn(2.5, 70), Turn(0.5, 70)],
    }
    outputs = {"pyled": {"difference": 2.5e-7}, "bfloat16": {"difference": 0.031}, "int8": {"difference": 0.5}}
    return Measured(ENCODE, turns, outputs)


def test_ratios_are_those_of_neighbours_and_the_fastest_is_the_one_with_the_least_median():
    found = pairs()
    assert report.ratio(found.turns["pyled"], found.turns["float32"]) == 4.0  # of 3, 4 and 9
    assert report.fastest(found) == "bfloat16"
    assert report.share(found) == 0.5
    assert report.fastest(Measured(ENCODE, {"pyled": [Turn(1.0, 1)]})) is None


def results(*measured, peer=PEER):
    plan = Plan([found.work for found in measured], BASE, None, 3, peer is not None)
    return Results(plan, MACHINE, list(measured), peer)


def cells(text, name, occurrence=0):
    """The cells of a row."""
    return [line.split() for line in text.splitlines() if line.startswith(f"{name} ")][occurrence]


def test_the_tables_say_what_was_measured():
    long = Measured(
        LONG,
        {"pyled": [Turn(12.0, 2 * 10**9, 4.0)], "float32": [Turn(123.4, 4 * 10**9, 10.0)]},
        {"pyled": {"part": 17, "count": 25}, "int8": {"part": None, "count": 25}},
        extrapolated=24,
    )
    text = report.text(results(pairs(), long))
    assert text.splitlines()[:4] == [
        "A Processor; 2 of 4 threads; 16 GB",
        "pyled 0.1, Python 3.11, NumPy 2, Numba 1; some-blas 0.3, Numba on omp",
        "ceilings: 200 GFLOP/s in a large float32 product, 20.0 GB/s read from memory",
        "random weights, 6+6 layers of 768, window 1024, vocabulary 50,265; turns: 3; 2026-01-02T03:04+00:00",
    ]
    assert max(map(len, text.splitlines())) <= report.WIDTH
    read = cost.step_bytes(BASE, 16384) / (8 / 63)
    operations = cost.encoding_operations(BASE, 20, 1)
    assert cells(text, "encode-20")[1:6] == ["1.00", "1.00", "50", "0.00", f"{operations / 1e9:.3g}"]
    assert cells(text, "long")[1:] == [
        "12.00",
        "12.00",
        "4.00",
        "127",
        "2.00",
        f"{read / 1e9:.3g}",
        "GB/s",
        f"{read / 2e10:.0%}",
    ]
    assert cells(text, "encode-20", 1)[1:] == [
        "1.00", "8.00", "2.00", "2.50", "4.00", "2.00", "0.00", "0.00", "50%",
    ]  # fmt: skip
    assert cells(text, "long", 1)[1:] == ["12.00", "123.4*", "10.28", "10.28", "2.00", "4.00", "50%"]
    assert "* extrapolated: 24 tokens were generated; each further one is taken to need what the last 23 did" in text
    assert cells(text, "encode-20", 2)[1:] == ["2.5e-07", "3.1e-02", "5.0e-01"]
    assert cells(text, "long", 2)[1:] == ["at", "17", "of", "25", "equal"]


def test_what_failed_is_in_the_tables_too():
    broken = Measured(ENCODE, failed={"pyled": "no"})
    half = Measured(DECODE, {"pyled": [Turn(5.0, 1, 3.0)], "int8": [Turn(10.0, 1, 3.0)]}, failed={"float32": "no"})
    text = report.text(results(broken, half))
    assert cells(text, "encode-20") == ["encode-20", "failed"]
    assert cells(text, "encode-20", 1) == ["encode-20", "failed"]
    assert cells(text, "beams-20", 1)[:6] == ["beams-20", "5.00", "failed", "10.00", "2.00", "0.00"]
    assert "extrapolated" not in text
    assert report.record(results(broken, half))["works"][0]["rate"] is None


def test_seconds_have_three_digits_or_hundredths():
    said = {0.00012: "0.00012", 0.1234: "0.123", 0.99951: "1.00", 2.0: "2.00", 99.99: "99.99", 99.996: "100.0"}
    assert {seconds: report._seconds(seconds) for seconds in said} == said


def test_the_record_has_every_turn_and_what_follows():
    record = json.loads(json.dumps(report.record(results(pairs(), peer=None))))
    (work,) = record["works"]
    assert work["turns"]["pyled"][1] == {"seconds": 2.0, "peak": 50, "first": None}
    assert work["ratios"] == {"float32": 4.0, "bfloat16": 2.0, "int8": 1.25}
    assert (work["memory_share"], work["each"]) == (0.5, [0.05, 0.1, 0.05])
    assert work["rate"]["unit"] == "FLOP/s"
    assert record["configuration"]["d_model"] == 768 and record["against"] is None


# 3. Who is asked


class Asked:
    """Answers without doing anything, and keeps what it was asked."""

    def __init__(self, fail=()):
        self.fail, self.requests = fail, []
        self.rates = iter([{"products": 1.0, "reading": 4.0}, {"products": 3.0, "reading": 2.0}])

    def __call__(self, engine, request):
        self.requests.append((engine, request))
        name = request.get("variant") if engine == "peer" else request["kind"]
        if name in self.fail:
            raise ChildError("no")
        answers = {
            "versions": dict(PEER),
            "machine": {**MACHINE, "rates": next(self.rates) if request["kind"] == "machine" else None},
            "compare": {"part": None, "count": 3},
        }
        done = {"seconds": 26.0, "peak": 10, "first": 3.0}
        if request["kind"] in ("source", "states"):
            Path(request["output"]).touch()
        return answers.get(request["kind"], done)

    def turns(self):
        """(engine or variant, target) of what was timed."""
        timed = [(e, r) for e, r in self.requests if r["kind"] in ("encode", "decode", "whole", "tokenize", "process")]
        return [("pyled" if engine == "pyled" else request["variant"], request["target"]) for engine, request in timed]


def conduct(tmp_path, ask, *planned, **more):
    told = []
    plan = Plan(planned, BASE, **{"model": None, "turns": 2, **more})
    found = Session(plan, tmp_path, ask, told.append).run()
    return found, told


def test_engines_take_turns(tmp_path):
    ask = Asked()
    found, told = conduct(tmp_path, ask, ENCODE, against=works.VARIANTS)
    order = ["pyled", "float32", "bfloat16", "int8"]
    assert [engine for engine, _ in ask.turns()] == 2 * order
    assert "encode-20: bfloat16, turn 1 of 2" in told
    assert {engine: len(turns) for engine, turns in found.measured[0].turns.items()} == dict.fromkeys(order, 2)
    assert found.machine["rates"] == {"products": 3.0, "reading": 4.0}  # the higher of both times
    assert found.peer == PEER
    assert [r["kind"] for _, r in ask.requests][:5] == ["versions", "machine", "model", "warm", "source"]
    assert set(found.measured[0].outputs) == {"pyled", "bfloat16", "int8"}


def test_alone_it_compares_nothing_and_writes_no_outputs(tmp_path):
    ask = Asked()
    found, _ = conduct(tmp_path, ask, ENCODE, DECODE, model=tmp_path)
    kinds = [request["kind"] for _, request in ask.requests]
    assert kinds == ["machine", "warm", "source", "encode", "encode", "states", "decode", "decode", "machine"]
    assert all(request["output"] is None for _, request in ask.requests if request["kind"] in ("encode", "decode"))
    assert found.peer is None and found.measured[1].outputs == {}


def test_long_generations_are_extrapolated_and_compared_at_their_length(tmp_path):
    ask = Asked()
    found, _ = conduct(tmp_path, ask, LONG, against=works.VARIANTS, turns=1)
    others = [("float32", 24), ("bfloat16", 24), ("int8", 24)]
    assert ask.turns() == [("pyled", 64), *others, ("pyled", 24)]
    measured = found.measured[0]
    assert measured.extrapolated == 24
    assert measured.turns["pyled"] == [Turn(26.0, 10, 3.0)]
    assert measured.turns["int8"] == [Turn(3.0 + 63, 10, 3.0)]
    whole, _ = conduct(tmp_path, again := Asked(), LONG, against=works.VARIANTS, turns=1, in_full=True)
    assert {target for _, target in again.turns()} == {64} and whole.measured[0].extrapolated is None


def test_what_fails_stops_nothing_else(tmp_path):
    ask = Asked(fail=("bfloat16",))
    found, _ = conduct(tmp_path, ask, ENCODE, against=works.VARIANTS)
    assert found.measured[0].failed == {"bfloat16": "no"}
    assert [engine for engine, _ in ask.turns()] == ["pyled", "float32", "bfloat16", "int8", "pyled", "float32", "int8"]
    found, _ = conduct(tmp_path, Asked(fail=("float32",)), ENCODE, against=works.VARIANTS)
    assert found.measured[0].outputs == {}
    found, _ = conduct(tmp_path, Asked(fail=("compare",)), ENCODE, against=works.VARIANTS)
    assert found.measured[0].failed["int8"] == "its output cannot be compared: no"
    assert set(found.measured[0].turns) == {"float32"}
    found, _ = conduct(tmp_path, Asked(fail=("states",)), DECODE, ENCODE)
    assert found.measured[0].failed == {"pyled": "no"} and "pyled" in found.measured[1].turns


def test_texts_are_cut_to_bytes_and_words_and_tokenizers_have_no_variants(tmp_path):
    text = "ab é" * 3
    planned = Work("tokenize", ("text",), "tokenize", 9), Work("process", ("text",), "process", 2, 32)
    ask = Asked()
    found, _ = conduct(tmp_path, ask, *planned, model=tmp_path, against=works.VARIANTS, turns=1, text=text)
    assert (tmp_path / "text-tokenize.txt").read_text(encoding="utf-8") == "ab éab "  # 8 bytes: é has two
    assert (tmp_path / "text-process.txt").read_text(encoding="utf-8") == "ab éab"
    assert [measured.work.source for measured in found.measured] == [8, 2]
    assert [engine for engine, _ in ask.turns()][:2] == ["pyled", "float32"]
    only, _ = conduct(tmp_path, tokens := Asked(), planned[0], model=tmp_path, turns=1, text=text)
    assert "warm" not in [request["kind"] for _, request in tokens.requests] and only.measured[0].turns


# 4. Children


def interpreter(folder, code):
    """An executable that stands for the Python with torch: argv[2] is the request."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable} -S\nimport json, os, shutil, sys\n{code}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_child_of_pyled_answers(tmp_path):
    output = tmp_path / "ids.npy"
    Children(1, "none").ask("pyled", {"kind": "source", "model": str(TINY), "tokens": 9, "output": str(output)})
    ids = np.load(output)
    assert ids.shape == (1, 9) and (ids[0, 0], ids[0, -1]) == (0, 2)
    with pytest.raises(ChildError, match="KeyError"):
        Children(1, "none").ask("pyled", {"kind": "none"})


def test_a_child_of_another_engine_gets_the_request_and_as_many_threads(tmp_path):
    code = "print('noise'); print(json.dumps([sys.argv[1], json.loads(sys.argv[2]), os.environ['OMP_NUM_THREADS']]))"
    script, request, threads = Children(3, interpreter(tmp_path, code)).ask("peer", {"kind": "versions"})
    assert script == str(pyled.tools.bench.children.PEER) and Path(script).exists()
    assert (request, threads) == ({"threads": 3, "kind": "versions"}, "3")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print(json.dumps({'error': 'ModuleNotFoundError: torch'}))", "^ModuleNotFoundError: torch$"),
        ("sys.exit('no torch')", "^the process ended with status 1: no torch$"),
        ("", "^the process ended with status 0$"),
        ("os.kill(os.getpid(), 9)", "^the process was ended by signal 9, perhaps for want of memory$"),
        ("os.kill(os.getpid(), 15)", "^the process was ended by signal 15$"),
    ],
)
def test_a_child_that_fails_is_told_in_words(tmp_path, code, said):
    with pytest.raises(ChildError, match=said):
        Children(1, interpreter(tmp_path, code)).ask("peer", {"kind": "versions"})


def test_an_interpreter_that_is_none_is_told_and_nothing_is_left_to_kill(tmp_path):
    children = Children(1, str(tmp_path / "none"))
    children.kill()
    with pytest.raises(ChildError, match="none: No such file or directory"):
        children.ask("peer", {"kind": "versions"})


# 5. The command

COPYING = """
request = json.loads(sys.argv[2])
if request["kind"] == "versions":
    print(json.dumps({"torch": "2.13.0", "transformers": "5.23.0", "python": "3.12"}))
else:
    output = request["output"]
    shutil.copy(os.path.join(os.path.dirname(output), "output-pyled.npy"), output)
    print(json.dumps({"seconds": 2.0 if request["variant"] == "float32" else 1.5, "peak": 10**10}))
"""


@pytest.fixture
def quick(monkeypatch):
    """Requests to pyled are answered in this process, the machine is not measured, and the works are small."""
    from pyled.tools.bench import worker

    by_process = Children.ask

    def ask(self, engine, request):
        if engine == "peer":
            return by_process(self, engine, request)
        if request["kind"] == "machine":
            return json.loads(json.dumps(MACHINE))
        return worker.answer({"threads": 1, **request})

    monkeypatch.setattr(Children, "ask", ask)
    monkeypatch.setattr(worker, "WARM_TOKENS", 4)
    large = Work("encode-2000", ("main",), "encode", 2000)
    monkeypatch.setattr(works, "WORKS", (ENCODE, large, Work("tokenize", ("text",), "tokenize", 50)))


def test_the_command_prints_tables(run, quick):
    status, out, err = run("bench", "-m", TINY, "--threads", 1, "--text", LAMP)
    assert (status, err) == (0, "pyled: encode-2000 is left out: the encoder has 1,024 positions only\n")
    assert out.startswith("A Processor; 2 of 4 threads")
    assert cells(out, "encode-20")[0] == "encode-20" and len(cells(out, "encode-20")) == 8
    assert cells(out, "tokenize")[-1] == "MB/s"
    assert "against" not in out


def test_the_command_lets_another_interpreter_take_its_turns(run, quick, tmp_path):
    python = interpreter(tmp_path, COPYING)
    options = ["--threads", 1, "--turns", 1, "--format", "json", "--work", "encode-20"]
    status, out, err = run("bench", "-m", TINY, "--against", "transformers", "--python", python, *options)
    assert (status, err) == (0, "")
    record = json.loads(out)
    (work,) = record["works"]
    assert record["against"]["torch"] == "2.13.0"
    assert work["outputs"]["pyled"] == {"difference": 0.0}
    assert [turn["seconds"] for turn in work["turns"]["float32"]] == [2.0]
    assert work["ratios"]["bfloat16"] == 1.5 / work["turns"]["pyled"][0]["seconds"]
    assert 0 < work["memory_share"] < 1


def test_an_interpreter_without_torch_is_told(run, quick, tmp_path):
    python = interpreter(tmp_path, "print(json.dumps({'error': \"ModuleNotFoundError: No module named 'torch'\"}))")
    arguments = ["bench", "-m", TINY, "--threads", 1, "--quiet", "--against", "transformers", "--python", python]
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("pyled: transformers cannot be asked: ModuleNotFoundError: No module named 'torch'")
    assert "--python" in err


def test_a_work_that_fails_is_told_at_the_end(run, quick, tmp_path):
    python = interpreter(tmp_path, COPYING.replace("else:", "elif request['variant'] != 'int8':"))
    options = ["--threads", 1, "--turns", 1, "--work", "encode-20", "--against", "transformers", "--python", python]
    status, out, err = run("bench", "-m", TINY, *options)
    assert status == 1 and "failed" in out
    assert err == "pyled: encode-20: int8: the process ended with status 0\n"


def test_the_list_needs_nothing(run):
    status, out, err = run("bench", "--list")
    assert (status, err) == (0, "")
    assert re.search(r"^  whole +16,384 tokens to 256, 4 beams$", out, re.MULTILINE)
    assert re.search(r"^  greedy-1024 +1,024 tokens to 64, greedy, encoder not counted$", out, re.MULTILINE)
    assert re.search(r"^  window-64 +encode 4,096 tokens with a window of 64$", out, re.MULTILINE)
    assert {work.name for work in WORKS} == set(re.findall(r"^  (\S+)", out, re.MULTILINE))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--work", "none"], "--work none: there is no such work"),
        (["--turns", "0"], "--turns 0: at least 1"),
        (["--threads", "0"], "--threads 0: between 1 and"),
        (["--in-full"], "pass --against too"),
        (["--variant", "int8"], "pass --against too"),
        (["--against", "transformers", "--variant", "int4"], "float32, bfloat16, int8 are there"),
        (["--python", "x"], "pass --against too"),
        (["--text", LAMP], "pass a checkpoint that has one, -m"),
        (["--text", "none", "-m", str(TINY)], "--text: none: cannot be read"),
        (["--against", "none"], "invalid choice"),
    ],
)
def test_wrong_usage_is_told_at_once(run, options, said):
    status, out, err = run("bench", *options)
    assert (status, out) == (2, "") and said in err


def test_a_checkpoint_without_vocabulary_has_no_use_for_a_text(run, tmp_path):
    directory = changed(tmp_path / "led")
    (directory / "vocab.json").unlink()
    status, _, err = run("bench", "-m", directory, "--text", LAMP)
    assert status == 2 and "has no vocabulary" in err
    status, _, err = run("bench", "-m", tmp_path / "none")
    assert status == 3 and "is no directory" in err


def test_an_interrupt_takes_the_folder_and_the_child_away(tmp_path):
    def interrupt(process):
        (tmp_path / "seen").write_text(next(tmp_path.iterdir()).name)
        process.send_signal(signal.SIGINT)

    status, out, seen = watched(["bench"], b"measuring the machine", interrupt, env={"TMPDIR": str(tmp_path)})
    assert (status, out) == (130, "")
    assert seen.rstrip(" \r").endswith("measuring the machine")
    assert (tmp_path / "seen").read_text().startswith("pyled-bench-")
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]
