"""A port of LED that was not made from the definition: a batch at a time, the band gathered, mistakes as switches."""

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


class Port:
    """The model in one float type. `mistakes` are in all of it, or in the modules whose name has `only` in it."""

    def __init__(self, weights, config, dtype=np.float32, mistakes=(), only=""):
        self.weights = {name: array.astype(dtype) for name, array in weights.items()}
        self.config, self.dtype, self.mistakes, self.only = config, dtype, mistakes, only
        self.dump = {}

    def has(self, mistake, name=""):
        return mistake in self.mistakes and self.only in name

    def one_of(self, choices, otherwise, name=""):
        """What the mistake among some leads to."""
        return next((value for mistake, value in choices.items() if self.has(mistake, name)), otherwise)

    def shows(self, name, array):
        self.dump[name] = np.array(array)
        return array

    def matrix(self, name):
        """What a checkpoint's loader brings under a name."""
        place, _, kind = name.rpartition(".")
        if self.has("weights-of-first-layer", name):
            place = ".".join("0" if part.isdigit() else part for part in place.split("."))
        for one, other, mistake in (
            ("query", "key", "query-key-swapped"),
            ("q_proj", "k_proj", "query-key-swapped"),
            ("value", "output", "value-output-swapped"),
            ("self_attn_layer_norm", "final_layer_norm", "norms-swapped"),
        ):
            if self.has(mistake, name) and place.endswith((f".{one}", f".{other}")):
                head, _, last = place.rpartition(".")
                swapped = other if last == one else one
                place = f"{head.removesuffix('.longformer_self_attn')}." + {
                    "value": "longformer_self_attn.value", "query": "longformer_self_attn.query",
                    "key": "longformer_self_attn.key"}.get(swapped, swapped)  # fmt: skip
        for part in ("query", "key", "value"):
            if self.has(f"global-projection-{part}", name):
                place = place.replace(f"{part}_global", part)
        if self.has("cross-value-is-key", name):
            place = place.replace("encoder_attn.v_proj", "encoder_attn.k_proj")
        if self.has("cross-norm-of-self", name):
            place = place.replace("encoder_attn_layer_norm", "self_attn_layer_norm")
        array = self.weights[f"{place}.{kind}" if place else kind]
        if self.has("weights-in-float16", name):
            array = array.astype(np.float16).astype(self.dtype)
        if self.has("weights-in-bfloat16", name):
            array = to_bfloat16(array)
        return array

    def project(self, x, name):
        W, b = self.matrix(f"{name}.weight"), self.matrix(f"{name}.bias")
        if self.has("weight-transposed", name):
            W = W.reshape(W.shape[::-1]).T
        if self.has("products-in-bfloat16", name):
            x, W = to_bfloat16(x), to_bfloat16(W)
        y = np.einsum("...i,oi->...o", x, W)
        if self.has("float16-accumulation", name):
            total = np.zeros((*x.shape[:-1], len(W)), np.float16)
            for i in range(x.shape[-1]):
                total += (x[..., i, None] * W[:, i]).astype(np.float16)
            y = total.astype(self.dtype)
        return self.shows(name, y if self.has("bias-missing", name) else y + b)

    def norm(self, x, name):
        E = x.shape[-1]
        mean = np.einsum("...e->...", x)[..., None] / self.dtype(E)
        d = x if self.has("mean-not-subtracted", name) else x - mean
        variance = np.einsum("...e,...e->...", d, d)[..., None] / self.dtype(E - self.has("variance-unbiased", name))
        epsilon = self.dtype(1e-12 if self.has("epsilon-wrong", name) else 1e-5)
        if self.has("epsilon-outside-root", name):
            d = d / (variance**0.5 + epsilon)
        else:
            d = d * (variance + epsilon) ** -0.5
        W, b = self.matrix(f"{name}.weight"), self.matrix(f"{name}.bias")
        d = d if self.has("norm-weight-missing", name) else d * W
        return d if self.has("norm-bias-missing", name) else d + b

    def added(self, x, y, name):
        if self.has("norm-before", name):
            return self.shows(name, x + self.norm(y, name))
        if self.has("norm-missing", name):
            return self.shows(name, x + y)
        return self.shows(name, self.norm(y if self.has("residual-missing", name) else x + y, name))

    def embed(self, ids, side):
        tokens = self.shows(f"{side}.embed_tokens", self.matrix(f"{side}.embed_tokens.weight")[ids])
        offset = 2 * self.has("position-offset-2", side) + self.has("position-offset-1", side)
        table = self.matrix(f"{side}.embed_positions.weight")
        positions = np.broadcast_to(table[offset : offset + ids.shape[1]], tokens.shape)
        self.shows(f"{side}.embed_positions", positions)
        name = f"{side}.layernorm_embedding"
        if self.has("embedding-scale", side):
            tokens = tokens * self.dtype(math.sqrt(tokens.shape[-1]))
        if self.has("embedding-norm-missing", side):
            return self.shows(name, tokens + positions)
        if self.has("embedding-norm-first", side):
            return self.shows(name, self.norm(tokens, name) + positions)
        return self.shows(name, self.norm(tokens if self.has("position-missing", side) else tokens + positions, name))

    def feed(self, x, name):
        inner, kind = self.project(x, f"{name}.fc1"), self.config.activation_function
        others = {"gelu-tanh": "gelu_new", "gelu-quick": "quick_gelu", "activation-relu": "relu"}
        kind = self.one_of({**others, "activation-missing": "none"}, kind, name)
        if kind == "gelu":
            bias = self.matrix(f"{name}.fc1.bias") if self.has("gelu-before-bias", name) else self.dtype(0)
            argument = (inner - bias) * self.dtype(1 if self.has("gelu-erf-unscaled", name) else math.sqrt(0.5))
            inner = (inner - bias) * self.dtype(0.5) * (1 + erf(argument).astype(self.dtype)) + bias
        elif kind == "gelu_new":
            inner = inner * self.dtype(0.5) * (1 + np.tanh(0.7978845608028654 * (inner + 0.044715 * inner**3)))
        elif kind == "quick_gelu":
            inner = inner / (1 + np.exp(-self.dtype(1.702) * inner))
        elif kind == "relu":
            inner = np.where(inner > 0, inner, 0)
        return self.project(self.shows(f"{name}.activation_fn", inner), f"{name}.fc2")

    def heads(self, x, H):
        """(B, S, E) -> (B, S, H, D)"""
        B, S, E = x.shape
        return (
            x.reshape(B, S, E // H, H).swapaxes(2, 3) if self.has("heads-interleaved") else x.reshape(B, S, H, E // H)
        )

    def joined(self, x):
        """(B, S, H, D) -> (B, S, E)"""
        B, S, H, D = x.shape
        if self.has("heads-interleaved"):
            x = x.swapaxes(2, 3)
        return x.swapaxes(1, 2).reshape(B, S, H * D) if self.has("heads-not-transposed") else x.reshape(B, S, H * D)

    def scale(self, E, H, name):
        power = self.one_of({"scale-missing": 0, "scale-twice": 1}, 0.5, name)
        return self.dtype((E if self.has("scale-by-model-size", name) else E // H) ** power)

    def encoder_attention(self, x, w, real, is_global, name):
        (B, S, E), H = x.shape, self.config.encoder_attention_heads
        inner = f"{name}.longformer_self_attn"
        q, k, v = (self.project(x, f"{inner}.{part}") for part in ("query", "key", "value"))
        scale = self.scale(E, H, name)
        if self.has("scale-before-bias", name):
            q = q + (scale - 1) * self.matrix(f"{inner}.query.bias")
        qh, kh, vh = (self.heads(array, H) for array in (q, k, v))
        vh = kh if self.has("value-is-key", name) else vh
        behind = w - self.has("band-one-short", name)
        ahead = 0 if self.has("window-one-sided", name) else w + self.has("band-one-long", name)
        near = np.arange(S)[:, None] + np.arange(-behind, ahead + 1)  # (S, K) places of the band
        inside = (near >= 0) & (near < S)
        near = np.where(inside, near, 0)
        G = is_global.sum(axis=1).max()
        columns = np.argsort(~is_global, axis=1, kind="stable")[:, :G]  # (B, G) places of global tokens
        is_column = np.take_along_axis(is_global, columns, axis=1)
        local = ~is_global | self.has("global-columns-twice", name)
        seen = inside if self.has("mask-on-padding-keys", name) else inside & real[:, near]  # (B, S, K)
        seen = (seen & local[:, near]) if seen.ndim == 3 else (inside & local[:, near])
        batch = np.arange(B)[:, None]
        band = np.einsum("bshd,bskhd->bhsk", qh, kh[:, near]) / scale
        extra = np.einsum("bshd,bghd->bhsg", qh, kh[batch, columns]) / scale
        outside = self.dtype(0 if self.has("mask-is-zero", name) else -np.inf)
        if self.has("mask-at-document-end", name):
            band = np.where(inside, band, 0)
            seen = seen | ~inside
        band = np.where(seen[:, None], band, outside)
        extra = np.where(is_column[:, None, None], extra, -np.inf)
        if self.has("global-columns-missing", name):
            extra = np.full_like(extra, -np.inf)
            band = np.where(
                (inside & real[:, near])[:, None], np.einsum("bshd,bskhd->bhsk", qh, kh[:, near]) / scale, outside
            )
        top = np.maximum(band.max(axis=-1), extra.max(axis=-1, initial=-np.inf))[..., None]
        band, extra = np.exp(band - top), np.exp(extra - top)
        total = band.sum(axis=-1, keepdims=True) + extra.sum(axis=-1, keepdims=True)
        if self.has("probs-over-band-only", name):
            total = band.sum(axis=-1, keepdims=True)
            extra = (
                extra / np.where(extra.sum(axis=-1, keepdims=True) == 0, 1, extra.sum(axis=-1, keepdims=True)) * total
            )
        values = np.where(inside[:, :, None, None], vh[:, near], 0)
        context = np.einsum("bhsk,bskhd->bshd", band / total, values) + np.einsum(
            "bhsg,bghd->bshd", extra / total, vh[batch, columns])  # fmt: skip
        self.global_rows(context, x, real, is_global, columns, is_column, inner, w)
        if not self.has("mask-on-padding-queries", name):
            context[~real] = 0
        context = self.shows(inner, self.joined(context))
        if self.has("output-projection-missing", name):
            return self.shows(f"{name}.output", context)
        return self.project(context, f"{name}.output")

    def global_rows(self, context, x, real, is_global, columns, is_column, inner, w):
        (B, S, E), H = x.shape, self.config.encoder_attention_heads
        k, v = (self.project(x, f"{inner}.{part}_global") for part in ("key", "value"))
        places = (
            np.broadcast_to(np.arange(columns.shape[1]), columns.shape)
            if self.has("global-query-first", inner)
            else columns
        )
        q = self.project(x[np.arange(B)[:, None], places], f"{inner}.query_global")
        q[~is_column] = 0
        self.shows(f"{inner}.query_global", q)
        scale = 1 if self.has("global-scale-missing", inner) else self.dtype(math.sqrt(E // H))
        scores = np.einsum("bghd,bshd->bhgs", self.heads(q, H), self.heads(k, H)) / scale
        seen = np.ones((B, 1, 1, S), bool) if self.has("global-mask-missing", inner) else real[:, None, None]
        if self.has("global-query-local", inner):
            seen = seen & ((abs(columns[:, :, None] - np.arange(S)) <= w) | is_global[:, None])[:, None]
        scores = np.where(seen, scores, -np.inf)
        probs = np.exp(scores - scores.max(axis=-1, keepdims=True))
        probs /= probs.sum(axis=-1, keepdims=True)
        rows = np.einsum("bhgs,bshd->bghd", probs, self.heads(v, H))
        for b in range(B):
            context[b, columns[b][is_column[b]]] = rows[b][is_column[b]]

    def decoder_attention(self, x, source, seen, name):
        E, H = x.shape[2], self.config.decoder_attention_heads
        q = self.project(x, f"{name}.q_proj")
        if self.has("query-shown-scaled", name):
            self.shows(f"{name}.q_proj", q / math.sqrt(E // H))
        k, v = (self.project(source, f"{name}.{part}_proj") for part in "kv")
        q = q * (1 if self.has("decoder-scale-missing", name) else self.dtype(1) / self.scale(E, H, name))
        scores = np.einsum("bthd,bshd->bhts", self.heads(q, H), self.heads(k, H))
        blind = ~seen.any(axis=-1)[:, None, :, None]
        scores = np.where(blind, 0, np.where(seen[:, None], scores, -np.inf))
        self.shows(f"{name}.scores", scores)
        axis = -2 if self.has("softmax-over-queries", name) else -1
        probs = np.exp(scores - scores.max(axis=axis, keepdims=True))
        probs = probs / probs.sum(axis=axis, keepdims=True)
        probs = self.shows(f"{name}.probs", np.where(blind & self.has("row-without-keys", name), 0, probs))
        context = self.shows(f"{name}.context", self.joined(np.einsum("bhts,bshd->bthd", probs, self.heads(v, H))))
        return self.project(context, f"{name}.out_proj")

    def run(self, inputs):
        """The arrays that a port dumps, by the checkpoint's names."""
        with np.errstate(invalid="ignore", divide="ignore"):
            self.forward(inputs)
        return self.dump

    def forward(self, inputs):
        ids, config = inputs["input_ids"], self.config
        mask = inputs.get("attention_mask", np.ones_like(ids)) > 0
        marks = inputs.get("global_attention_mask", np.zeros_like(ids))
        real = mask & (marks >= 0)
        if self.has("mask-inverted"):
            real = ~real
        is_global = (marks > 0) & real & (not self.has("global-missing"))
        if self.has("global-everywhere"):
            is_global = real
        x = self.embed(ids, "encoder")
        for i in range(config.encoder_layers - self.has("layer-missing")):
            name, w = f"encoder.layers.{i}", config.one_sided_window(0 if self.has("window-of-first-layer") else i)
            w = 2 * w if self.has("window-not-halved", name) else w
            y = self.added(
                x, self.encoder_attention(x, w, real, is_global, f"{name}.self_attn"), f"{name}.self_attn_layer_norm"
            )
            x = self.added(
                x if self.has("residual-of-layer", name) else y, self.feed(y, name), f"{name}.final_layer_norm"
            )
        states = x
        ids = inputs["decoder_input_ids"]
        if self.has("decoder-start-token"):
            ids = np.where(np.arange(ids.shape[1]) == 0, config.bos_token_id, ids)
        (B, T), S = ids.shape, states.shape[1]
        shifts = {"causal-mask-off-by-one": 1, "causal-mask-missing": T, "causal-mask-without-itself": -1}
        causal = np.arange(T)[None] <= np.arange(T)[:, None] + self.one_of(shifts, 0)
        target = inputs.get("decoder_attention_mask", np.ones_like(ids)) > 0
        if T == 1 or self.has("decoder-mask-missing"):
            target = np.ones_like(target)
        earlier = causal & target[:, None]
        source = np.broadcast_to((mask | self.has("cross-mask-missing"))[:, None], (B, T, S))
        x = self.embed(ids, "decoder")
        for i in range(config.decoder_layers):
            name = f"decoder.layers.{i}"
            x = self.added(
                x, self.decoder_attention(x, x, earlier, f"{name}.self_attn"), f"{name}.self_attn_layer_norm"
            )
            y = self.decoder_attention(x, states, source, f"{name}.encoder_attn")
            x = self.added(x, y, f"{name}.encoder_attn_layer_norm")
            x = self.added(x, self.feed(x, name), f"{name}.final_layer_norm")
        W = self.matrix("lm_head.weight")
        W = W.reshape(W.shape[::-1]).T if self.has("lm-head-transposed") else W
        scores = self.shows("lm_head", np.einsum("bte,ve->btv", x, W))
        self.shows("logits", scores if self.has("logits-bias-missing") else scores + self.matrix("final_logits_bias"))


def to_bfloat16(x):
    """Round to the nearest float32 of 8 bits, and of two as near to the even one."""
    bits = x.astype(np.float32).view(np.int32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & ~0xFFFF).view(np.float32).astype(x.dtype)
