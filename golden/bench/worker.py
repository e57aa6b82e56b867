"""One piece of work by pyled, in a process of its own: `python -m pyled.tools.bench.worker REQUEST`.

REQUEST is an object in JSON: `kind`, a name of KINDS; `threads`; and what that function's docstring lists. The answer
is one line of JSON on standard output, the `error` in words where it failed. A timed kind loads, warms up on something
too small to count, does its work once, and answers

    seconds, peak (bytes); and where it generates, first: the seconds until the first token was there

Arrays go by .npy files: `output` names the one for what came out, if it is wanted. `peer` answers the same requests.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint import expected_shapes, write_safetensors
from ...checkpoint.names import TIED, upstream_name
from ...config import LEDConfig
from ...errors import InputError
from ...generation_config import GenerationConfig
from ...kernels import jit
from ...layers import product
from ...models import LEDForConditionalGeneration
from ...outputs import LEDEncoderBaseModelOutput
from ...tokenizer import LEDTokenizer
from ...version import __version__
from .. import cost
from .works import SHAPE

Request = Mapping[str, Any]
Answer = dict[str, Any]

WARM_TOKENS = 64  # of the source, to warm up on
WARM_TEXT = "A lamp."
SIDE = 3072  # of the matrices of the product that is the ceiling
SEED = 1


def answer(request: Request) -> Answer:
    """Do what a request asks."""
    jit.set_threads(request["threads"])
    return KINDS[request["kind"]](request)


def peak(of: int = resource.RUSAGE_SELF) -> int:
    """The most bytes in memory at a time so far, of this process or of its children's largest."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(of).ru_maxrss * unit


# 1. What is measured with


def machine(request: Request) -> Answer:
    """What this machine is, and its rates: operations and bytes a second."""
    rates = cost.measure(side=SIDE, spent=1)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": request["threads"],
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "versions": {"pyled": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba")},
        "blas": f"{blas['name']} {blas['version']}",
        "threading_layer": _threading_layer(),
        "rates": {"products": rates.products, "reading": rates.reading},
    }


def _threading_layer() -> str:
    """What Numba runs parallel loops on, which it chooses when the first one is run."""
    product(np.ones((1, 1, 8), np.float32), np.ones((8, 8), np.float32), np.ones(8, np.float32))
    numba: Any = vars(jit)["numba"]  # which kernels/ alone may import
    return "not compiled" if numba.config.DISABLE_JIT else f"Numba on {numba.threading_layer()}"


def _processor() -> str:
    """Its name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def model(request: Request) -> Answer:
    """Write a checkpoint with seeded weights into the folder `output`: LED-base in shape.

    Matrices and embeddings are normal(0, 0.05), scales of norms 1 + 0.1 n, biases 0.1 n, so that the tokens it
    generates vary. Without a vocabulary.
    """
    folder, config = (
        Path(request["output"]),
        LEDConfig(**SHAPE, extra={"architectures": ["LEDForConditionalGeneration"]}),
    )
    tensors = {}
    for index, (name, shape) in enumerate(expected_shapes(config, "lm").items()):
        if name in TIED[1:]:
            continue
        n = np.random.Generator(np.random.PCG64([SEED, index])).standard_normal(shape, dtype=np.float32)
        if name.endswith("bias"):
            made = np.float32(0.1) * n
        elif "norm" in name:
            made = 1 + np.float32(0.1) * n
        else:
            made = np.float32(0.05) * n
        tensors[upstream_name(name, "lm")] = made
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)
    write_safetensors(folder / "model.safetensors", tensors)
    return {}


def warm(request: Request) -> Answer:
    """Run all that is compiled, so that it is in the cache for those who come later."""
    network = _load(request)
    ids = np.full((1, min(WARM_TOKENS, network.config.max_encoder_position_embeddings)), 4)
    for beams in (1, 2):
        _generate(network, 2, beams, **_marked(ids))
    return {}


def source(request: Request) -> Answer:
    """Write `tokens` seeded ids, between those of <s> and </s>, to `output`, (1, S) int64."""
    config = LEDConfig.from_pretrained(request["model"])
    ids = np.random.default_rng(SEED).integers(4, config.vocab_size - 1, (1, request["tokens"]))
    ids[0, 0] = config.bos_token_id or 0
    ids[0, -1] = config.eos_token_id if isinstance(config.eos_token_id, int) else 2
    np.save(request["output"], ids)
    return {}


def states(request: Request) -> Answer:
    """Write the encoder's states of the ids in `source` to `output`, (1, S, E) float32."""
    np.save(request["output"], _encode(_load(request), np.load(request["source"])))
    return {}


def compare(request: Request) -> Answer:
    """How the array in `output` differs from that in `truth`.

    difference: for floats, the largest, relative to the truth's largest value where that is above 1
    part: for whole numbers, where they first differ, None where they are equal; count: how many the truth has
    """
    got, truth = np.load(request["output"]), np.load(request["truth"])
    if truth.dtype.kind == "f":
        difference = float(np.max(np.abs(got.astype(np.float64) - truth)))
        return {"difference": difference / max(1.0, float(np.max(np.abs(truth))))}
    got, truth = got.reshape(-1), truth.reshape(-1)
    count = min(len(got), len(truth))
    parts = np.flatnonzero(got[:count] != truth[:count])
    first = int(parts[0]) if len(parts) else None if len(got) == len(truth) else count
    return {"part": first, "count": len(truth)}


# 2. What is measured


def encode(request: Request) -> Answer:
    """Encode the ids in `source`, with the `window` if it is not None."""
    network, ids = _load(request), np.load(request["source"])
    if request["window"] is not None:
        network.config = replace(network.config, attention_window=request["window"])
    _encode(network, ids[:, :WARM_TOKENS])
    start = time.perf_counter()
    out = _encode(network, ids)
    return _answer(request, time.perf_counter() - start, out)


def decode(request: Request) -> Answer:
    """Generate `target` tokens with `beams` beams from the encoder's states in `source`."""
    network, given = _load(request), np.load(request["source"])
    _generate(network, 2, request["beams"], encoder_outputs=_outputs(given[:, :WARM_TOKENS]))
    return _timed(request, network, encoder_outputs=_outputs(given))


def whole(request: Request) -> Answer:
    """Generate `target` tokens with `beams` beams from the ids in `source`."""
    network, ids = _load(request), np.load(request["source"])
    _generate(network, 2, request["beams"], **_marked(ids[:, :WARM_TOKENS]))
    return _timed(request, network, **_marked(ids))


def tokenize(request: Request) -> Answer:
    """The ids of the text in `source`, with `offsets` or without."""
    tokenizer = LEDTokenizer.from_pretrained(request["model"])
    text = Path(request["source"]).read_text(encoding="utf-8")
    options = {"return_offsets_mapping": request["offsets"], "truncation": False, "max_length": len(text) + 2}
    tokenizer(WARM_TEXT, **options)
    start = time.perf_counter()
    encoded = tokenizer(text, **options)
    seconds = time.perf_counter() - start
    ids = np.array(encoded["input_ids"])
    return _answer(request, seconds, np.array(encoded["offset_mapping"]) if request["offsets"] else ids)


def process(request: Request) -> Answer:
    """Summarize the text in `source` in `target` tokens, by a process: its seconds and its peak of memory."""
    length = str(request["target"] + 1)  # with the start token
    settings = ["--num-beams", str(request["beams"]), "--min-length", length, "--max-length", length]
    running = ["--no-repeat-ngram-size", "3", "--threads", str(request["threads"]), "--quiet"]
    command = [sys.executable, "-P", "-m", "pyled", "summarize", request["source"], "-m", request["model"]]
    start = time.perf_counter()
    done = subprocess.run([*command, *settings, *running], capture_output=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise InputError(done.stderr.decode("utf-8", "replace").strip())
    text = np.frombuffer(done.stdout, np.uint8)
    return _answer(request, seconds, text) | {"peak": peak(resource.RUSAGE_CHILDREN)}


def _load(request: Request) -> LEDForConditionalGeneration:
    """The model, its decoder's weights kept as the request's `variant` says."""
    return LEDForConditionalGeneration.from_pretrained(request["model"], weights=request.get("variant"))


def _outputs(given: Any) -> LEDEncoderBaseModelOutput:
    return LEDEncoderBaseModelOutput(last_hidden_state=np.ascontiguousarray(given))


def _marked(ids: Any) -> dict[str, Any]:
    """Arguments of a call: the ids, all of them real, the first one global."""
    marks = np.zeros_like(ids)
    marks[:, 0] = 1
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "global_attention_mask": marks}


def _encode(network: LEDForConditionalGeneration, ids: Any) -> Any:
    return network.get_encoder()(**_marked(ids)).last_hidden_state


def _generate(network: LEDForConditionalGeneration, target: int, beams: int, **more: Any) -> Any:
    """Exactly `target` tokens: none ends early, because as many are the least."""
    length = target + 1
    return network.generate(num_beams=beams, min_length=length, max_length=length, no_repeat_ngram_size=3, **more)


def _timed(request: Request, network: LEDForConditionalGeneration, **more: Any) -> Answer:
    first: list[float] = []

    def progress(generated: int, _: int) -> None:
        if generated and not first:
            first.append(time.perf_counter() - start)

    start = time.perf_counter()
    out = _generate(network, request["target"], request["beams"], progress=progress, **more)
    seconds = time.perf_counter() - start
    return _answer(request, seconds, out) | {"first": first[0]}


def _answer(request: Request, seconds: float, out: Any) -> Answer:
    answered = {"seconds": seconds, "peak": peak()}
    if request["output"] is not None:
        np.save(request["output"], out)
    return answered


KINDS: dict[str, Callable[[Request], Answer]] = {
    function.__name__: function
    for function in (machine, model, warm, source, states, compare, encode, decode, whole, tokenize, process)
}


def main(argv: list[str]) -> int:
    """Answer the request that is the one argument."""
    try:
        answered = answer(json.loads(argv[0]))
    except Exception as e:
        answered = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answered))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
