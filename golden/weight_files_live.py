"""Whole checkpoints between pyled and the reference, both ways: `python golden/weight_files_live.py`.

Runs in an environment with transformers 5.23.0 or 4.57.6, with pyled on the path; stores nothing. For the base model
and the one with a language head, tied and untied:

- what pyled's `save_pretrained` writes loads in the reference with no missing, unexpected, mismatched or newly made
  tensor and no message, and every tensor is the same, bit for bit;
- what the reference's `save_pretrained` writes loads in pyled with nothing to report, and every tensor is the same;
- either directory loads as the other class (a head from a base model has `final_logits_bias` 0), but an untied head;
- the tokens that both generate greedily from either directory are the same, and the base models' states differ by less
  than 1e-4, which is float32 on large weights.

A torch file of every class, type and kind, which `pyled.checkpoint.convert` writes anew, is byte for byte the
safetensors file that `save_pretrained` writes of the same model. 4.57.6 writes one matrix for three of an untied model;
there the reference loads the same tensors from pyled's file.

Untied, 4.57.6 knows one matrix for `shared` and the two `embed_tokens`: there the model has the three alike, and that
of three different ones the reference takes `shared` is checked too.
"""

import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
import transformers
from weights import TIED, integers, make_weights

import pyled.models
from pyled.checkpoint import convert
from pyled.config import LEDConfig
from pyled.models import LEDForConditionalGeneration

VERSION = transformers.__version__
CONFIG: dict[str, Any] = {
    "vocab_size": 61,
    "d_model": 24,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 20,
    "decoder_layers": 3,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 28,
    "attention_window": [4, 8],
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 40,
}
SEEDS = range(4)
LENGTH = 24
CLASSES = {None: "LEDModel", "lm": "LEDForConditionalGeneration", "qa": "LEDForQuestionAnswering"}
if VERSION == "4.57.6":
    CLASSES["classification"] = "LEDForSequenceClassification"


def tensors_of(head: str | None, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the weights of the hash in upstream's names, biases an eighth so that several tokens are generated."""
    tensors = make_weights(config, seed, np.float32)
    tensors = {name: array / np.float32(8) if name.endswith("bias") else array for name, array in tensors.items()}
    if VERSION == "4.57.6":
        tensors |= dict.fromkeys(TIED[1:3], tensors[TIED[0]])
    if head is None:
        return {name.removeprefix("led."): array for name, array in tensors.items() if name.startswith("led.")}
    return tensors


def ids_of(seed: int) -> Any:
    """Return (2, 23) int, without special tokens."""
    return integers("source", seed, (2, 23), 3, CONFIG["vocab_size"])


def load_theirs(folder: Path, head: str | None) -> Any:
    """Return the reference's model, loaded without any complaint."""
    kind = getattr(transformers, CLASSES[head])
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    said = {name: names for name, names in info.items() if names}
    assert not said, f"{folder}: {said}"
    return model.eval()


def load_ours(folder: Path, head: str | None) -> Any:
    model: Any = getattr(pyled.models, CLASSES[head]).from_pretrained(folder)
    assert not model.load_report.surprises() and not model.load_report.assumed, model.load_report.lines()
    return model


def assert_same_tensors(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(actual) == set(expected), set(actual) ^ set(expected)
    for name, array in expected.items():
        assert np.array_equal(np.asarray(actual[name]), array), name


def assert_same_answers(theirs: Any, ours: Any, head: str | None, seed: int) -> int:
    """Assert that both answer alike, and return how many tokens were compared."""
    ids = ids_of(seed)
    ids[:, -1] = 2  # which the head for classification looks for
    if head != "lm":
        with torch.no_grad():
            expected = theirs(torch.from_numpy(ids))[0].numpy()
        error = float(np.abs(ours(ids)[0] - expected).max())
        assert error < 1e-4, error
        return 0
    settings: dict[str, Any] = {"max_length": LENGTH, "num_beams": 1, "do_sample": False}
    mask = np.ones_like(ids)
    expected = theirs.generate(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), **settings).numpy()
    tokens = ours.generate(ids, attention_mask=mask, **settings)
    assert np.array_equal(tokens, expected), f"{tokens.tolist()}\n{expected.tolist()}"
    return int(expected.size)


def exchange(head: str | None, is_tied: bool, seed: int, folder: Path) -> int:
    """Take one model both ways, and return how many tokens were compared."""
    config = {**CONFIG, "tie_word_embeddings": is_tied, "num_labels": 3}
    if head is not None:
        config["architectures"] = [CLASSES[head]]
    tensors = tensors_of(head, config, seed)
    ours: Any = getattr(pyled.models, CLASSES[head])(LEDConfig(**config))
    ours.load_state_dict(tensors)
    ours.save_pretrained(folder / "ours")
    theirs = load_theirs(folder / "ours", head)
    assert_same_tensors({name: tensor.numpy() for name, tensor in theirs.state_dict().items()}, tensors)
    compared = assert_same_answers(theirs, ours, head, seed)

    theirs.save_pretrained(folder / "theirs")
    back = load_ours(folder / "theirs", head) if VERSION != "4.57.6" or is_tied else load_4_57_6_untied(folder, head)
    assert_same_tensors(back.state_dict(), tensors)
    compared += assert_same_answers(load_theirs(folder / "theirs", head), back, head, seed)
    for place in ("ours", "theirs"):
        cross(folder / place, head, is_tied, tensors)
    return compared


def load_4_57_6_untied(folder: Path, head: str | None) -> Any:
    """Load a file that stores `shared` alone of the three; pyled says that it takes it for the others."""
    import warnings

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model: Any = getattr(pyled.models, CLASSES[head]).from_pretrained(folder / "theirs")
    assert len(model.load_report.conflicts) == len(said) == 2
    return model


def cross(folder: Path, head: str | None, is_tied: bool, tensors: dict[str, Any]) -> None:
    """Load a directory of one class with the other."""
    import warnings

    if head is None and not is_tied:
        return  # an untied head is in no file of a base model
    tensors = {n: a for n, a in tensors.items() if not n.startswith(("qa_outputs", "classification_head"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other: Any = getattr(pyled.models, CLASSES[None if head else "lm"]).from_pretrained(folder)
    state = {name.removeprefix("led."): array for name, array in other.state_dict().items()}
    if head is None:
        assert not state.pop("final_logits_bias").any()
        assert np.array_equal(state.pop("lm_head.weight"), tensors["shared.weight"])
        load_theirs(folder, "lm")
    assert_same_tensors(
        state, {n.removeprefix("led."): a for n, a in tensors.items() if n.startswith("led.") or not head}
    )


def three_different(folder: Path) -> str:
    """Return which matrices the reference has of an untied file with four different ones."""
    config = {**CONFIG, "tie_word_embeddings": False}
    tensors = make_weights(config, 0, np.float32)
    ours = LEDForConditionalGeneration(LEDConfig(**config))
    ours.load_state_dict(tensors)
    ours.save_pretrained(folder)
    state = load_theirs(folder, "lm").state_dict()
    sources = {name: next(n for n in TIED if np.array_equal(state[name].numpy(), tensors[n])) for name in TIED}
    expected = {name: name if VERSION == "5.23.0" or name == TIED[3] else TIED[0] for name in TIED}
    assert sources == expected, sources
    return ", ".join(f"{name}: {source}" for name, source in sources.items())


def conversions(folder: Path) -> int:
    """Convert a torch file of each kind, and return how many there were."""
    kinds = ["Model", "ForConditionalGeneration", "ForQuestionAnswering", "ForSequenceClassification"]
    dtypes, count = (torch.float32, torch.float16, torch.bfloat16, torch.float64), 0
    for name in kinds[: 3 if VERSION == "5.23.0" else 4]:
        for dtype, is_tied, is_zip in itertools.product(dtypes, (True, False), (True, False)):
            place, count = folder / str(count), count + 1
            config = transformers.LEDConfig(**CONFIG, tie_word_embeddings=is_tied, num_labels=2 + count % 3)
            model = getattr(transformers, f"LED{name}")(config).to(dtype)
            model.save_pretrained(place / "theirs")
            (place / "torch").mkdir()
            (place / "torch" / "config.json").write_bytes((place / "theirs" / "config.json").read_bytes())
            file = place / "torch" / "pytorch_model.bin"
            torch.save(model.state_dict(), file, _use_new_zipfile_serialization=is_zip)
            convert(place / "torch", place / "ours")
            theirs, ours = (place / who / "model.safetensors" for who in ("theirs", "ours"))
            if VERSION == "5.23.0" or is_tied:
                assert theirs.read_bytes() == ours.read_bytes(), (name, dtype, is_tied, is_zip)
            state = getattr(transformers, f"LED{name}").from_pretrained(place / "ours", torch_dtype=dtype).state_dict()
            assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    return count


def main() -> int:
    assert VERSION in ("5.23.0", "4.57.6"), VERSION
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    models = tokens = 0
    with tempfile.TemporaryDirectory() as temporary:
        for head in CLASSES:
            for is_tied in (True, False):
                for seed in SEEDS:
                    folder = Path(temporary) / f"{head}-{is_tied}-{seed}"
                    tokens += exchange(head, is_tied, seed, folder)
                    models += 1
        print(conversions(Path(temporary) / "converted"), "torch files were converted")
        print("untied,", three_different(Path(temporary) / "different"))
    print(f"{VERSION}: {models} models went both ways, {tokens} greedy tokens are the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
