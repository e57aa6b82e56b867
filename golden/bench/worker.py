"""Do one work in a process of its own: `PYTHON worker.py REQUEST`; the answer is the last line printed, in JSON.

REQUEST is a JSON object. `kind` names a function of KINDS, and `engine` is "pyled", then the pyled of PYTHONPATH does
the work, or "torch", then transformers does. Both have the same public names, so the same lines measure both, and any
checkout of pyled. A timed kind loads, warms up on something too small to count, works once, and answers

    seconds; peak, in bytes; and where it generates, first: the seconds until the first token's scores are there

Works of less than LEAST seconds are done again until those are full, and the median counts.

Arrays go by .npy files: a timed kind reads `source`, and writes what it computes to `output` where that is not null.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Request = Mapping[str, Any]
Answer = dict[str, Any]

WARM_TOKENS, WARM_TEXT = 64, "A lamp."
LEAST = 0.5
EIGHT = 8  # documents that transformers takes at a time
COMPILED = ((1, 16), (1, 600), (2, 70))  # documents and tokens, which need all the kernels
LEARNING_RATE = 1e-5
SEED = 1
# LED-base in shape, where it is not as LEDConfig's defaults. With a wider spread than the default of init_std, tokens
# are told apart more clearly.
SHAPE: dict[str, Any] = {
    **{f"{side}_layers": 6 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 12 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 3072 for side in ("encoder", "decoder")},
    "d_model": 768,
    "attention_window": 1024,
    "init_std": 0.05,
}


# 1. What is measured with


def versions(request: Request) -> Answer:
    """Return the versions of the engine. Raises ImportError where another pyled than that of `checkout` is imported."""
    if request["engine"] == "torch":
        return {name: version(name) for name in ("torch", "transformers", "numpy")}
    import pyled

    if Path(pyled.__file__).resolve().parents[1] != Path(request["checkout"]):
        raise ImportError(f"{pyled.__file__} is imported, not the pyled of {request['checkout']}")
    return {"pyled": pyled.__version__, **{name: version(name) for name in ("numpy", "numba")}}


def machine(request: Request) -> Answer:
    """Return what this machine is."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    return {
        "processor": cpu[0].partition(": ")[2] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    }


def ceilings(request: Request) -> Answer:
    """Return what this machine does a second at most: operations of products, bytes read."""
    from pyled.tasks import cost

    rates = cost.measure(side=3072, spent=1)
    return {"products": rates.products, "reading": rates.reading}


def checkpoint(request: Request) -> Answer:
    """Write a checkpoint with random weights, without a vocabulary, into the folder `output`."""
    from pyled import LEDConfig, LEDForConditionalGeneration

    unfinished = Path(request["output"] + "-unfinished")
    LEDForConditionalGeneration(LEDConfig(**SHAPE), seed=SEED).save_pretrained(unfinished)
    unfinished.rename(request["output"])
    return {}


def ids(request: Request) -> Answer:
    """Write `documents` of `tokens` random ids, between those of <s> and </s>, to `output`: (B, S) int64."""
    from pyled import LEDConfig

    config = LEDConfig.from_pretrained(request["model"])
    shape = (request["documents"], request["tokens"])
    drawn = np.random.default_rng(SEED).integers(4, config.vocab_size - 1, shape)
    drawn[:, 0], drawn[:, -1] = config.bos_token_id, config.eos_token_id
    np.save(request["output"], drawn)
    return {}


def compare(request: Request) -> Answer:
    """Return in words how the array in `output` differs from that in `expected`.

    Floats: the largest difference, relative to the largest value where that is above 1. Whole numbers: the first place.
    """
    output, expected = np.load(request["output"]), np.load(request["expected"])
    if expected.dtype.kind == "f":
        difference = float(np.max(np.abs(output.astype(np.float64) - expected)))
        return {"words": f"{difference / max(1.0, float(np.max(np.abs(expected)))):.1e}" if difference else "equal"}
    output, expected = output.reshape(-1), expected.reshape(-1)
    count = min(len(output), len(expected))
    places = [*np.flatnonzero(output[:count] != expected[:count]), *range(count, max(len(output), len(expected)))]
    return {"words": f"part at {places[0]}" if places else "equal"}


def compile(request: Request) -> Answer:
    """Encode and generate a little, and train, too, so that the kernels of this engine are compiled."""
    model = load(request)
    for shape in COMPILED:
        for beams in (1, 4):
            generated(model, {"beams": beams}, **marked(request, np.full(shape, 4)), target=2)
    for policy in ("keep", "recompute") if request["train"] else ():
        step = stepper(request | {"options": {"policy": policy}, "checkpointing": True, "frozen": False}, model)
        for shape in COMPILED:
            for target in (2, 40):
                step({**marked(request, np.full(shape, 4)), "labels": np.full((shape[0], target), 4)})
    return {}


# 2. What is measured


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a work, the median where it was done again, and what it returns."""
    times: list[float] = []
    while sum(times) < LEAST:
        start = time.perf_counter()
        output = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), output


def encode(request: Request) -> Answer:
    """Encode the ids of `source`."""
    encoder, source = load(request).get_encoder(), np.load(request["source"])
    encoder(**marked(request, source[:, :WARM_TOKENS]))
    arguments = marked(request, source)
    return answer(request, *timed(lambda: encoder(**arguments).last_hidden_state))


def generate(request: Request) -> Answer:
    """Generate `target` tokens with `beams` beams from the ids of `source`."""
    model, source = load(request), np.load(request["source"])
    generated(model, request, **marked(request, source[:, :WARM_TOKENS]), target=2)
    arguments = marked(request, source)
    times = [time.perf_counter()]

    def clock(tokens: Any, scores: Any) -> Any:  # a logits processor, called at each step
        times.append(time.perf_counter())
        return scores

    tokens = generated(model, request, **arguments, logits_processor=[clock])
    return answer(request, time.perf_counter() - times[0], tokens) | {"first": times[1] - times[0]}


def train(request: Request) -> Answer:
    """Take a step of training: `target` labels for each of the documents of `source`, AdamW, dropout as configured.

    losses: the one before it, without dropout, which is the same for all engines, and that of the step
    """
    model, source = load(request), np.load(request["source"])
    B, S = source.shape
    lengths = np.linspace(S // 8, S, B) if B > 1 else np.array([S])
    is_real = np.arange(S) < lengths.astype(np.int64)[:, None]
    source = np.where(is_real, source, model.config.pad_token_id)
    rng = np.random.default_rng(SEED)
    labels = array(request, rng.integers(4, model.config.vocab_size, (B, request["target"])))
    arguments = marked(request, source, is_real.astype(np.int64)) | {"labels": labels}
    loss = float(model(**arguments, use_cache=False).loss)
    step = stepper(request, model)
    step({name: each[:, :WARM_TOKENS] for name, each in arguments.items()})  # the optimiser makes its state, too
    seconds, dropped = timed(lambda: step(arguments))
    return answer(request, seconds, np.array(loss)) | {"losses": f"loss {loss:.5f}, with dropout {dropped:.3f}"}


def stepper(request: Request, model: Any) -> Callable[[Mapping[str, Any]], float]:
    """Return a function that takes one step on its arguments, and returns the loss.

    `frozen`: the encoder is not trained, nor are the embeddings that it shares, and no engine keeps what it computes.
    `checkpointing`: by the policy of the options, or else recomputing a layer at a time, which torch does always
    """
    is_whole = not request["frozen"]

    def trains(weight: str) -> bool:
        return is_whole or (weight.startswith("led.decoder.") and "embed_tokens" not in weight)

    if request["engine"] == "pyled":
        import pyled

        optimizer = pyled.AdamW(model, lr=LEARNING_RATE)
        if request["checkpointing"]:
            model.gradient_checkpointing_enable(request["options"].get("policy", "recompute"))

        def step(arguments: Mapping[str, Any]) -> float:
            loss, gradients = model.loss_and_gradients(**arguments, training=True, seed=SEED, trained=trains)
            optimizer.step(gradients)
            return float(loss)

        return step
    import torch

    for weight, parameter in model.named_parameters():
        parameter.requires_grad_(trains(weight))
    model.train()
    if request["checkpointing"]:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=LEARNING_RATE)

    def torch_step(arguments: Mapping[str, Any]) -> float:
        source, labels = dict(arguments), arguments["labels"]
        del source["labels"]
        if request["frozen"]:
            states = model.get_encoder()(**source)
            source = {"encoder_outputs": states, "attention_mask": source["attention_mask"]}
        with torch.enable_grad():
            loss = model(**source, labels=labels, use_cache=False).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return torch_step


def tokenize(request: Request) -> Answer:
    """Turn the text of `source` into ids, or with `offsets` into places of the text."""
    tokenizer, text = load_tokenizer(request), Path(request["source"]).read_text(encoding="utf-8")
    more = {"return_offsets_mapping": request["offsets"], "truncation": False, "max_length": len(text) + 2}
    tokenizer(WARM_TEXT, **more)
    start = time.perf_counter()
    batch = tokenizer(text, **more)  # once: pyled's tokenizer keeps what it has merged
    seconds = time.perf_counter() - start
    return answer(request, seconds, np.array(batch["offset_mapping" if request["offsets"] else "input_ids"]))


def summarize(request: Request) -> Answer:
    """Summarize the files of the folder `source` in a process: its seconds and its peak from start to end.

    Each in exactly `target` tokens, or, where that is 0, as the checkpoint in the package does.
    """
    if request["engine"] == "torch":
        command = [sys.executable, __file__, json.dumps({**request, "kind": "in eights"})]
    else:
        length = str(request["target"] + 1)  # with the start token
        command = [sys.executable, "-m", "pyled", "summarize", request["source"], "--quiet"]
        command += [word for name, value in request["options"].items() for word in (f"--{name}", value)]
        if request["target"]:
            command += ["-m", request["model"], "--num-beams", str(request["beams"]), "--no-repeat-ngram-size", "3"]
            command += ["--min-length", length, "--max-length", length]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise ChildProcessError(done.stderr.decode("utf-8", "replace").strip())
    text = np.frombuffer(done.stdout.strip(), np.uint8)
    return answer(request, seconds, text) | {"peak": peak(resource.RUSAGE_CHILDREN)}


def in_eights(request: Request) -> None:
    """Print the summaries of the files in `source` as pyled does, eight at a time, padded: torch's whole process."""
    model, tokenizer = load(request), load_tokenizer(request)
    paths = sorted(Path(request["source"]).iterdir())
    for start in range(0, len(paths), EIGHT):
        eight = paths[start : start + EIGHT]
        texts = [path.read_text(encoding="utf-8") for path in eight]
        batch = tokenizer(texts, padding=True, return_tensors="np")
        arguments = marked(request, batch["input_ids"], batch["attention_mask"])
        sequences = generated(model, request, **arguments)
        texts = tokenizer.batch_decode(sequences, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for path, text in zip(eight, texts, strict=True):
            print(f"==> {path} <==\n{text}\n")


KINDS: dict[str, Callable[[Request], Answer]] = {
    "versions": versions,
    "machine": machine,
    "ceilings": ceilings,
    "checkpoint": checkpoint,
    "ids": ids,
    "compare": compare,
    "compile": compile,
    "encode": encode,
    "generate": generate,
    "tokenize": tokenize,
    "summarize": summarize,
    "train": train,
}


# 3. The two engines


def library(request: Request) -> Any:
    """Return the module that has the public names."""
    return import_module("transformers" if request["engine"] == "torch" else "pyled")


def load(request: Request) -> Any:
    """Return the model, with the `options` of from_pretrained.

    torch computes in bfloat16 from end to end, or with int8 weights and activations in all linear layers.
    """
    options = {name: value for name, value in request["options"].items() if name != "policy"}
    if request["engine"] == "pyled":
        return library(request).LEDForConditionalGeneration.from_pretrained(request["model"], **options)
    import torch

    torch.set_num_threads(request["threads"])
    torch.set_grad_enabled(False)
    model = library(request).LEDForConditionalGeneration.from_pretrained(request["model"], dtype=torch.float32).eval()
    if options.get("weights") == "bf16":
        return model.to(torch.bfloat16)
    if options.get("weights") == "int8":
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    return model


def load_tokenizer(request: Request) -> Any:
    """Return the tokenizer; transformers' is the one written in Rust."""
    return library(request).LEDTokenizerFast.from_pretrained(request["model"])


def marked(request: Request, source: Any, mask: Any = None) -> dict[str, Any]:
    """Return the arguments of a call on ids: all of them real unless a mask is there, the first one global."""
    is_global = np.zeros_like(source)
    is_global[:, 0] = 1
    mask = np.ones_like(source) if mask is None else mask
    arrays = {"input_ids": source, "attention_mask": mask, "global_attention_mask": is_global}
    return {name: array(request, each) for name, each in arrays.items()}


def array(request: Request, values: Any) -> Any:
    """Return an array as the engine takes it."""
    if request["engine"] == "pyled":
        return values
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))


def generated(model: Any, request: Request, *, target: int | None = None, **more: Any) -> Any:
    """Return `target` tokens exactly, or those of the request: none ends early, and no three come twice in a row."""
    length = 1 + (target or request["target"])  # with the start token
    beams = request["beams"]
    return model.generate(num_beams=beams, min_length=length, max_length=length, no_repeat_ngram_size=3, **more)


def peak(of: int = resource.RUSAGE_SELF) -> int:
    """Return the most bytes that were in memory at a time, of this process or of the largest of its children."""
    return resource.getrusage(of).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answer(request: Request, seconds: float, output: Any) -> Answer:
    """Return the answer of a timed kind, and write what it computed."""
    answered = {"seconds": seconds, "peak": peak()}
    if request["output"] is not None:
        is_array = isinstance(output, np.ndarray)
        np.save(request["output"], output if is_array else (output.float() if output.is_floating_point() else output))
    return answered


def main() -> None:
    request = json.loads(sys.argv[1])
    if request["kind"] == "in eights":
        in_eights(request)
        return
    try:
        answered = KINDS[request["kind"]](request)
    except Exception as e:
        answered = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answered))


if __name__ == "__main__":
    main()
