"""The stages that the fast way shows equal those of the definition, by their names."""

import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled import reference
from pyled.config import LEDConfig
from pyled.models import LEDForConditionalGeneration
from pyled.network.attention import SourceKeysByLayer, source_keys
from pyled.network.batch import Batch
from pyled.network.cache import Cache
from pyled.network.decoder import decoder
from pyled.network.encoder import encoder
from pyled.network.observe import SEES_NOTHING, Stages

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def small_model(seed, kind, dtype="float64"):
    config = LEDConfig(
        vocab_size=31, d_model=12, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=3, encoder_ffn_dim=10, decoder_ffn_dim=14, attention_window=[4, 6],
        max_encoder_position_embeddings=40, max_decoder_position_embeddings=40, init_std=0.5, activation_function=kind,
    )  # fmt: skip
    model, rng = LEDForConditionalGeneration(config, seed % 7, dtype=dtype), np.random.default_rng(seed)
    model.load_state_dict({  # no bias is 0, and no norm 1
        name: array + rng.normal(0, 0.3, array.shape) if array.ndim == 1 else array
        for name, array in model.state_dict().items()
    })  # fmt: skip
    return model


def forward(model, each, is_key, P, see, *, sees=(), by_layer=True):
    """Documents through both stacks, of their targets the first P tokens in a call before; the decoder's states."""
    weights, config = model.weights, model.config
    ids, is_real, is_global, targets = zip(*each, strict=True)
    batch = Batch(is_real, is_global, sees, see=None if sees else see)
    states = encoder(weights["encoder.embed_tokens.weight"][np.concatenate(ids)], batch, weights, config)
    H, layers = config.decoder_attention_heads, config.decoder_layers
    sources = (SourceKeysByLayer if by_layer else source_keys)(states, layers, H, weights)
    past = Cache.empty(len(each), sources, np.array([*map(len, ids)]), H, config.d_model // H, states.dtype)
    tokens = weights["decoder.embed_tokens.weight"][np.stack(targets)]
    if P:
        past = decoder(tokens[:, :P], past, None, [*is_real], weights, config)[1]
    return decoder(tokens[:, P:], past, is_key, [*is_real], weights, config, see)[0]


def some_documents(rng, lengths, T, marks):
    """Per document: ids, which tokens are real and global, and target ids."""
    each = []
    for S in lengths:
        is_real = rng.random(S) < 0.8
        each.append((rng.integers(3, 31, S), is_real, is_real & (rng.random(S) < marks), rng.integers(3, 31, T)))
    return each


def assert_log_sums(seen, truth, name, log_sums, q, k, rows):
    """Scores less their logarithm are the logarithms of the definition's probabilities, of some rows."""
    probs = truth[f"{name}.probs"][:, rows]  # (H, Q, S)
    H = len(probs)
    q, k = (np.swapaxes(x.reshape(len(x), H, x.shape[1] // H), 0, 1) for x in (q[rows], k))
    powers = np.exp(q @ np.swapaxes(k, 1, 2) / np.sqrt(q.shape[2]) - log_sums[rows].T[:, :, None])
    assert_within(f"{name}.log_sums", np.where(probs > 0, powers, 0), probs, 0.0)


@EXAMPLE
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    T=st.sampled_from([1, 5, 16, 17, 22]),
    kind=st.sampled_from(["gelu", "relu", "silu"]),
    marks=st.sampled_from([0, 0.2, 0.9]),
    keys=st.sampled_from([None, 0.8, 0.2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_stages_of_documents_together_are_those_of_the_definition(lengths, T, kind, marks, keys, seed):
    rng, model = np.random.default_rng(seed), small_model(seed, kind)
    each, weights = some_documents(rng, lengths, T, marks), model.weights
    is_key = None if keys is None else rng.random((len(lengths), T)) < keys
    P = int(rng.integers(T)) if is_key is None else 0
    seen, parts = Stages(), [Stages() for _ in each]
    forward(model, each, is_key, P, seen)
    forward(model, each, is_key, P, seen, sees=parts)
    ends = np.cumsum([0, *lengths])
    for r, (ids, is_real, is_global, targets) in enumerate(each):
        truth, source, target = Stages(), slice(ends[r], ends[r + 1]), slice(r * (T - P), (r + 1) * (T - P))
        mask = None if is_key is None or T == 1 else is_key[r]
        reference.forward(ids, targets, is_real, is_global, weights, model.config, truth, mask)
        ordinary = np.flatnonzero(is_real & ~is_global)
        for name, exact in truth.items():
            is_of_pairs = name.endswith((".probs", ".scores"))
            if name in ("lm_head", "logits", "tokens") or (name.startswith("encoder") and is_of_pairs):
                continue
            if "_global" in name:
                got = parts[r][name]
            elif name.startswith("encoder") or name.endswith((".encoder_attn.k_proj", ".encoder_attn.v_proj")):
                got = seen[name][source]
            else:
                got, exact = seen[name][r], exact[:, P:] if is_of_pairs else exact[P:]
                got = got[:, :, : exact.shape[2]] if is_of_pairs else got
            assert np.array_equal(np.isneginf(got).reshape(exact.shape), np.isneginf(exact)), name
            got, exact = (np.where(np.isneginf(array), 0, array) for array in (got, exact))
            assert_within(name, got.reshape(exact.shape), exact, 0.0)
        before = "layernorm_embedding"
        for i in range(2):
            name = f"encoder.layers.{i}.self_attn"
            q, k = (truth[f"{name}.longformer_self_attn.{part}"] for part in ("query", "key"))
            assert_log_sums(seen, truth, name, seen[f"{name}.log_sums"][source], q, k, ordinary)
            layer = f"decoder.layers.{i}"
            for part, into in (("self_attn", before), ("encoder_attn", f"layers.{i}.self_attn_layer_norm")):
                name = f"{layer}.{part}"
                q = reference.linear(truth[f"decoder.{into}"], weights, f"{name}.q_proj")
                assert_within(f"{name}.q_proj", seen[f"{name}.q_proj"][r], q[P:], 0.0)
                output = reference.linear(seen[f"{name}.context"][r], weights, f"{name}.out_proj")
                assert_within(f"{name}.context", output, truth[f"{name}.out_proj"][P:], 0.0)
                log_sums = np.concatenate([np.zeros((P, 3)), seen[f"{name}.log_sums"][target]])
                is_blind = np.isneginf(log_sums[:, 0])
                if part == "self_attn" and mask is not None:
                    assert np.array_equal(is_blind, np.cumsum(mask) == 0)
                else:
                    assert is_blind[P:].all() == (part == "encoder_attn" and not is_real.any())
                rows = np.flatnonzero(~is_blind)[P:]
                assert_log_sums(seen, truth, name, log_sums, q, truth[f"{name}.k_proj"], rows)
            before = f"layers.{i}.final_layer_norm"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["gelu", "relu"])
def test_what_is_seen_changes_no_bit(kind, dtype):
    """Not even of the GELU, which the products compute on the way where nobody sees what comes before it."""
    rng, model = np.random.default_rng(0), small_model(1, kind, dtype)
    each = some_documents(rng, [20, 13, 600], 22, 0.1)[:2]
    is_key = rng.random((2, 22)) < 0.8
    plain = forward(model, each, is_key, 0, SEES_NOTHING)
    seen = Stages()
    assert np.array_equal(forward(model, each, is_key, 0, seen), plain)
    assert np.array_equal(forward(model, each, is_key, 0, SEES_NOTHING, by_layer=False), plain)
    few = [(*document[:3], document[3][:5]) for document in each]
    of_few = forward(model, few, None, 0, SEES_NOTHING)
    picked = Stages(lambda name: not name.endswith(".log_sums"))
    assert np.array_equal(forward(model, few, None, 0, picked), of_few)
    assert any(name.endswith("fc1") for name in picked)
