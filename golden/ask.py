"""Ask the reference, transformers 5.23.0 or 4.57.6: in float64 without its roundings, and in float32 as it is.

Stock LED computes the encoder's softmaxes in float32 whatever the model's type; `float64_softmax` takes that out. In
4.57.6 the decoder's mask is filled in torch's default type, and overflows in any other.
Stages are caught by hooks, under the names that `pyled/reference.py` reports. Arrays keep the batch in front.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import LEDConfig, LEDForConditionalGeneration
from transformers.models.led.modeling_led import LEDEncoderBaseModelOutput
from weights import architecture

Arrays = dict[str, NDArray[Any]]

HEADS = ("qa_outputs", "classification_head.")  # modules beside `led` whose results are stages; `logits` are another
HEAD_FIRST = ("query", "key", "value", "query_global", "key_global", "value_global")  # (S, B, E) inside upstream


@contextmanager
def float64_softmax() -> Iterator[None]:
    """Have `torch.nn.functional.softmax` ignore its dtype argument on float64 input, inside this block."""
    stock = torch.nn.functional.softmax

    def softmax(
        input: torch.Tensor, dim: int | None = None, dtype: torch.dtype | None = None, **_: Any
    ) -> torch.Tensor:
        return stock(input, dim=dim, dtype=None if input.dtype == torch.float64 else dtype)

    torch.nn.functional.softmax = softmax
    if transformers.__version__ == "4.57.6":
        torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.nn.functional.softmax = stock
        torch.set_default_dtype(torch.float32)


def load(config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], dtype: torch.dtype) -> Any:
    """Return the reference's model with these weights, ready to be asked; of the class in `architectures`."""
    kind = getattr(transformers, architecture(config))
    model = kind(LEDConfig(**{k: v for k, v in config.items() if k != "model_type"}))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, strict=True)
    return model.eval().to(dtype)


def tensors(inputs: Mapping[str, NDArray[Any]], dtype: torch.dtype) -> dict[str, Any]:
    """Return the arguments of a call as the reference takes them."""
    arguments: dict[str, Any] = {}
    for name, array in inputs.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        arguments[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    if "encoder_outputs" in arguments:
        arguments["encoder_outputs"] = LEDEncoderBaseModelOutput(last_hidden_state=arguments["encoder_outputs"])
    return arguments


def numbers(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a copy: upstream divides its query in place after the hook has seen it."""
    return tensor.detach().clone().numpy()


def source_size(inputs: Mapping[str, NDArray[Any]]) -> tuple[int, int]:
    """Return (B, S) of a call."""
    array = next(inputs[name] for name in ("input_ids", "inputs_embeds", "encoder_outputs") if name in inputs)
    return array.shape[0], array.shape[1]


def is_global(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which tokens are global in the end: (B, S) bool. A flag on a masked token does not count."""
    shape = source_size(inputs)
    flags = inputs.get("global_attention_mask", np.zeros(shape, np.int64))
    return (flags > 0) & (inputs.get("attention_mask", np.ones(shape, np.int64)) > 0)


def forward(model: Any, inputs: Mapping[str, NDArray[Any]]) -> tuple[Arrays, list[str]]:
    """Call the model, and return every stage and public output, and the names of the fields of upstream's answer."""
    dtype = model.dtype
    caught: Arrays = {}
    inner: dict[str, tuple[torch.Tensor, ...]] = {}

    def hook(name: str) -> Any:
        def catch(module: Any, arguments: Any, output: Any) -> None:
            if name.endswith("longformer_self_attn"):
                inner[name] = tuple(part.detach().clone() for part in output)
                output = output[0]
            array = numbers(output)
            caught[name] = array.swapaxes(0, 1) if name.rsplit(".", 1)[-1] in HEAD_FIRST else array

        return catch

    kinds = (torch.nn.Linear, torch.nn.LayerNorm)
    sides = ("encoder.", "decoder.", *HEADS)
    handles = [
        module.register_forward_hook(hook(name))
        for name, module in ((name.removeprefix("led."), module) for name, module in model.named_modules())
        if name.startswith(sides)
        and ((isinstance(module, kinds) and not name.endswith("q_proj")) or name.endswith("longformer_self_attn"))
    ]
    try:
        with torch.no_grad():
            answer = model(**tensors(inputs, dtype), output_attentions=True, output_hidden_states=True)
    finally:
        for handle in handles:
            handle.remove()

    _, S = source_size(inputs)
    glob = is_global(inputs)
    stages = {name: _trimmed(name, array, S, glob) for name, array in caught.items()}
    for name, output in inner.items():
        layer = name.removesuffix(".longformer_self_attn")
        i = layer.split(".")[2]
        band, rows = _upstream_attentions(output, S, glob)
        stages[f"out.encoder_attentions.{i}"] = band
        if rows is not None:
            stages[f"out.encoder_global_attentions.{i}"] = rows
        stages[f"{layer}.probs"] = dense(band, rows, glob)
    for i, (within, across) in enumerate(zip(answer.decoder_attentions, answer.cross_attentions, strict=True)):
        stages[f"decoder.layers.{i}.self_attn.probs"] = numbers(within)
        stages[f"decoder.layers.{i}.encoder_attn.probs"] = numbers(across)
    if isinstance(model, LEDForConditionalGeneration):
        stages["logits"] = numbers(answer.logits)
    if answer.loss is not None:
        stages["out.loss"] = numbers(answer.loss)
    _check_outputs(answer, stages, S)
    return stages, list(answer.keys())


def _trimmed(name: str, array: NDArray[Any], S: int, glob: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a stage without upstream's padding to the window, and with 0 in unused slots of query_global."""
    if name.endswith("query_global"):
        counts = glob.sum(axis=1)  # (B,)
        unused = np.arange(array.shape[1]) >= counts[:, None]  # (B, G)
        return np.where(unused[:, :, None], 0, array)
    return array[:, :S] if name.startswith("encoder.") else array


def _upstream_attentions(
    output: Sequence[torch.Tensor], S: int, glob: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return upstream's layouts, trimmed to S: (B, H, S, G + K), and (B, H, S, G) with unused slots 0, or None."""
    band = output[1].transpose(1, 2).numpy()[:, :, :S]
    if len(output) < 3:
        return band, None
    rows = output[2].transpose(2, 3).numpy()[:, :, :S]  # (B, H, S, G)
    unused = np.arange(rows.shape[3]) >= glob.sum(axis=1)[:, None]  # (B, G)
    return band, np.where(unused[:, None, None, :], 0, rows)


def dense(band: NDArray[Any], rows: NDArray[Any] | None, glob: NDArray[np.bool_]) -> NDArray[Any]:
    """Return probabilities of every token for every other, from upstream's layouts: (B, H, S, S)."""
    B, H, S, width = band.shape
    G = 0 if rows is None else rows.shape[3]
    w = (width - G) // 2
    probs = np.zeros((B, H, S, S), band.dtype)
    for b in range(B):
        positions = np.flatnonzero(glob[b])
        for i in range(S):
            for j in range(max(0, i - w), min(S, i + w + 1)):
                probs[b, :, i, j] = band[b, :, i, G + j - i + w]
            probs[b, :, i, positions] += band[b, :, i, : len(positions)].T
        if rows is not None:
            probs[b, :, positions] = rows[b, :, :, : len(positions)].transpose(2, 0, 1)
    return probs


def _check_outputs(answer: Any, stages: Arrays, S: int) -> None:
    """Assert that upstream's public states are the stages, bit for bit, so that they need not be stored twice."""
    for side in ("encoder", "decoder"):
        for i, state in enumerate(getattr(answer, f"{side}_hidden_states") or ()):
            name = f"{side}.layernorm_embedding" if i == 0 else f"{side}.layers.{i - 1}.final_layer_norm"
            assert np.array_equal(state.numpy(), stages[name]), name
    if answer.encoder_attentions is not None:
        for i, band in enumerate(answer.encoder_attentions):
            assert np.array_equal(band.numpy(), stages[f"out.encoder_attentions.{i}"])
    if "qa_outputs" in stages:
        ends = np.stack([answer.start_logits.numpy(), answer.end_logits.numpy()], axis=2)
        assert np.array_equal(ends, stages["qa_outputs"])
    if "classification_head.out_proj" in stages:
        assert np.array_equal(answer.logits.numpy(), stages["classification_head.out_proj"])


def cached_calls(
    model: LEDForConditionalGeneration, inputs: Mapping[str, NDArray[Any]], calls: Sequence[int]
) -> Arrays:
    """Do several calls that share a cache, and return the logits and probabilities of each, and the cache they leave.

    The source is encoded once; call n takes the next calls[n] target tokens and the decoder's mask up to them.
    """
    arguments = tensors(inputs, model.dtype)
    ids, target_mask = arguments["decoder_input_ids"], arguments.get("decoder_attention_mask")
    arrays: Arrays = {}
    of_source = ("input_ids", "attention_mask", "global_attention_mask")
    source = {name: arguments[name] for name in of_source if name in arguments}
    with torch.no_grad():
        states = model.led.encoder(**source)
        arrays[f"encoder.layers.{model.config.encoder_layers - 1}.final_layer_norm"] = numbers(states.last_hidden_state)
        cache, start = None, 0
        for n, count in enumerate(calls):
            stop = start + count
            answer = model(
                encoder_outputs=states,
                attention_mask=arguments.get("attention_mask"),
                decoder_input_ids=ids[:, start:stop],
                decoder_attention_mask=None if target_mask is None else target_mask[:, :stop],
                past_key_values=cache,
                use_cache=True,
                output_attentions=True,
            )
            cache, start = answer.past_key_values, stop
            arrays[f"call.{n}.logits"] = numbers(answer.logits)
            for i, probs in enumerate(answer.decoder_attentions):
                arrays[f"call.{n}.decoder.layers.{i}.self_attn.probs"] = numbers(probs)
    for kind, part in (("self", cache.self_attention_cache), ("cross", cache.cross_attention_cache)):
        for i, layer in enumerate(part.layers):
            arrays[f"cache.{i}.{kind}_key"] = numbers(layer.keys)  # (B, H, P, D)
            arrays[f"cache.{i}.{kind}_value"] = numbers(layer.values)
    return arrays
