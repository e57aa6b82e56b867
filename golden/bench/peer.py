"""One piece of work by transformers on torch: `PYTHON peer.py REQUEST`, answered as `worker` answers it.

The one file of pyled that imports torch, and no process of pyled imports it: an interpreter that has torch and
transformers runs it as a file, so it uses nothing else of pyled. `variant` of a request says what the model computes
in: float32; bfloat16, all of it; or int8, the weights of linear layers and the activations before them, dynamically.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Request = Mapping[str, Any]
Answer = dict[str, Any]

WARM_TOKENS = 64  # as in worker.py
WARM_TEXT = "A lamp."


def versions(request: Request) -> Answer:
    """What this interpreter has."""
    import platform

    import torch
    import transformers

    return {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}


def encode(request: Request) -> Answer:
    """Encode the ids in `source`, with the `window` if it is not None."""
    model, ids = load(request), np.load(request["source"])
    warm, given = marked(ids[:, :WARM_TOKENS]), marked(ids)
    encoder = model.get_encoder()
    encoder(**warm)
    start = time.perf_counter()
    out = encoder(**given).last_hidden_state
    seconds = time.perf_counter() - start
    return answered(request, seconds, out.float().numpy())


def decode(request: Request) -> Answer:
    """Generate from the encoder's states in `source`."""
    model, states = load(request), np.load(request["source"])
    generate(model, 2, request["beams"], **outputs(states[:, :WARM_TOKENS], model.dtype))
    return timed(request, model, **outputs(states, model.dtype))


def whole(request: Request) -> Answer:
    """Generate from the ids in `source`."""
    model, ids = load(request), np.load(request["source"])
    generate(model, 2, request["beams"], **marked(ids[:, :WARM_TOKENS]))
    return timed(request, model, **marked(ids))


def tokenize(request: Request) -> Answer:
    """The ids of the text in `source`, with `offsets` or without."""
    tokenizer = load_tokenizer(request)
    text = Path(request["source"]).read_text(encoding="utf-8")
    tokenizer(WARM_TEXT)
    start = time.perf_counter()
    encoded = tokenizer(text, return_offsets_mapping=request["offsets"])
    seconds = time.perf_counter() - start
    return answered(request, seconds, np.array(encoded["offset_mapping" if request["offsets"] else "input_ids"]))


def process(request: Request) -> Answer:
    """Summarize the text in `source`, by a process of its own."""
    command = [sys.executable, __file__, json.dumps({**request, "kind": "summarize"})]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - start
    text = np.frombuffer(done.stdout, np.uint8)
    return answered(request, seconds, text) | {"peak": peak(resource.RUSAGE_CHILDREN)}


def summarize(request: Request) -> None:
    """Print the summary of the text in `source`."""
    model, tokenizer = load(request), load_tokenizer(request)
    ids = tokenizer(Path(request["source"]).read_text(encoding="utf-8"))["input_ids"]
    sequence = generate(model, request["target"], request["beams"], **marked(np.array([ids])))[0]
    text = tokenizer.decode(sequence, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    sys.stdout.buffer.write(f"{text}\n".encode())


def load(request: Request) -> Any:
    """The model, on the request's threads, as its variant says."""
    import torch
    from transformers import LEDForConditionalGeneration

    torch.set_num_threads(request["threads"])
    torch.set_grad_enabled(False)
    more = {}
    if request["window"] is not None:
        config = json.loads((Path(request["model"]) / "config.json").read_text(encoding="utf-8"))
        more = {"attention_window": [request["window"]] * config["encoder_layers"]}
    model = LEDForConditionalGeneration.from_pretrained(request["model"], dtype=torch.float32, **more).eval()
    if request["variant"] == "bfloat16":
        return model.to(torch.bfloat16)
    if request["variant"] == "int8":
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    return model


def load_tokenizer(request: Request) -> Any:
    """The tokenizer that is written in Rust."""
    from transformers import LEDTokenizerFast

    return LEDTokenizerFast.from_pretrained(request["model"])


def marked(ids: Any) -> dict[str, Any]:
    """Arguments of a call: the ids, all of them real, the first one global."""
    import torch

    marks = np.zeros_like(ids)
    marks[:, 0] = 1
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "global_attention_mask": marks}
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def outputs(states: Any, dtype: Any) -> dict[str, Any]:
    """Arguments of a call that starts from the encoder's states."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    given = torch.from_numpy(np.ascontiguousarray(states)).to(dtype)
    mask = torch.ones(given.shape[:2], dtype=torch.int64)
    return {"encoder_outputs": BaseModelOutput(last_hidden_state=given), "attention_mask": mask}


def generate(model: Any, target: int, beams: int, **more: Any) -> Any:
    """Exactly `target` tokens: none ends early, because as many are the least."""
    length = target + 1
    return model.generate(num_beams=beams, min_length=length, max_length=length, no_repeat_ngram_size=3, **more)


def timed(request: Request, model: Any, **more: Any) -> Answer:
    """Generate `target` tokens with `beams` beams, and tell when the first one was there."""
    first: list[float] = []

    def clock(ids: Any, scores: Any) -> Any:  # called with the scores of every step
        if not first:
            first.append(time.perf_counter() - start)
        return scores

    start = time.perf_counter()
    out = generate(model, request["target"], request["beams"], logits_processor=[clock], **more)
    seconds = time.perf_counter() - start
    return answered(request, seconds, out.numpy()) | {"first": first[0]}


def peak(of: int = resource.RUSAGE_SELF) -> int:
    """The most bytes in memory at a time so far."""
    return resource.getrusage(of).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answered(request: Request, seconds: float, out: Any) -> Answer:
    """The answer; `out` goes to the file that the request names."""
    answer = {"seconds": seconds, "peak": peak()}
    if request["output"] is not None:
        np.save(request["output"], out)
    return answer


KINDS = {function.__name__: function for function in (versions, encode, decode, whole, tokenize, process)}


def main() -> None:
    request = json.loads(sys.argv[1])
    if request["kind"] == "summarize":
        summarize(request)
        return
    try:
        answer = KINDS[request["kind"]](request)
    except Exception as e:
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
