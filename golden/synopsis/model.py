"""LED in torch for training: the parameters and their names are upstream's, `<s>` alone is global.

Where upstream slides chunks over a source padded to its window, this computes one masked product up to DENSE tokens and
blocks of queries against three blocks of keys beyond, and the global row from the states instead of from their keys and
values. `check` holds it to upstream's module on random weights. Shapes: B batch, S source, T target, E model, H heads,
D = E / H, W one-sided window.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

DENSE = 512

# Of the weights before training (`initialise`).
PLACES = 32  # dimensions that are the positions' own, as many as a head has
SINUSOID = 0.1  # amplitude of a position; an embedding has length 1
FASTEST = 0.6 * math.pi  # turn of the fastest sinusoid from a token to the next; the slowest turns half round in all
ENCODER_SHIFTS = ((-1, 1, -2, 2), (-1, 1, -2, 2), (-1, 1, -3, 3))  # where a layer's first heads look, from each token
DECODER_SHIFTS = ((-1, -2), (-1, -2), ())
SHARP = (2.0, 2.6, 2.6)  # scale of a layer's queries and keys that are to find one place: positions become fainter
QUIET = 0.1  # scale of what attention and feed-forward add to a state
LOUD = 4.0  # scale of what the head that copies adds

CONFIG: dict[str, Any] = {
    "architectures": ["LEDForConditionalGeneration"],
    "model_type": "led",
    "vocab_size": 8000,
    "d_model": 192,
    "encoder_layers": 3,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 768,
    "decoder_layers": 3,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 768,
    "attention_window": [256] * 3,
    "max_encoder_position_embeddings": 4096,
    "max_decoder_position_embeddings": 128,
    "activation_function": "gelu",
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "tie_word_embeddings": True,
}
PAD, EOS = 1, 2
LONGEST_SUMMARY = 48  # tokens


def heads(x: Tensor, count: int) -> Tensor:
    """(B, S, E) to (B, H, S, D)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """(B, H, S, D) to (B, S, E)."""
    return x.transpose(1, 2).flatten(2)


def additive(may_attend: Tensor) -> Tensor:
    return torch.zeros(may_attend.shape).masked_fill_(~may_attend, -math.inf)


class Band:
    """Which keys each query of a batch may attend to, in the form that its length asks for."""

    def __init__(self, is_real: Tensor, w: int) -> None:
        B, S = is_real.shape
        self.w = w
        self.real = additive(is_real)[:, None]  # (B, 1, S)
        if S <= DENSE:
            i = torch.arange(S)
            near = (i[:, None] - i[None, :]).abs() <= w
            near[:, 0] = True
            self.mask = additive(near & is_real[:, None, None, :])  # (B, 1, S, S)
            return
        self.blocks = -(-S // w)
        padded = F.pad(is_real, (w, self.blocks * w - S + w))  # (B, (blocks + 2) w)
        padded[:, w] = False  # <s> has a column of its own
        keys = padded.unfold(1, 3 * w, w)[:, :, None, :]  # (B, blocks, 1, 3w)
        i, j = torch.arange(w)[:, None] + w, torch.arange(3 * w)[None, :]
        mask = keys & ((i - j).abs() <= w)  # (B, blocks, w, 3w)
        self.mask = additive(F.pad(mask, (1, 0), value=True)).flatten(0, 1)[:, None]  # (B blocks, 1, w, 1 + 3w)

    def context(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v: (B, H, S, D)."""
        B, H, S, D = q.shape
        if S <= DENSE:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        w, n = self.w, self.blocks
        q = F.pad(q, (0, 0, 0, n * w - S)).unflatten(2, (n, w)).transpose(1, 2).flatten(0, 1)  # (B n, H, w, D)
        k, v = (self._three_blocks(x) for x in (k, v))
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)  # (B n, H, w, D)
        return context.unflatten(0, (B, n)).transpose(1, 2).flatten(2, 3)[:, :, :S]

    def _three_blocks(self, x: Tensor) -> Tensor:
        """(B, H, S, D) to (B n, H, 1 + 3w, D): the state of <s>, then a block with its neighbours."""
        S = x.shape[2]
        first = x[:, None, :, :1].expand(-1, self.blocks, -1, -1, -1)  # (B, n, H, 1, D)
        padded = F.pad(x, (0, 0, self.w, self.blocks * self.w - S + self.w))
        near = padded.unfold(2, 3 * self.w, self.w).permute(0, 2, 1, 4, 3)  # (B, n, H, 3w, D)
        return torch.cat([first, near], dim=3).flatten(0, 1)


class LongformerSelfAttention(nn.Module):
    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.count = count
        for name in ("query", "key", "value", "query_global", "key_global", "value_global"):
            self.add_module(name, nn.Linear(size, size))

    def forward(self, hidden: Tensor, band: Band) -> Tensor:
        q, k, v = (heads(f(hidden), self.count) for f in (self.query, self.key, self.value))
        context = joined(band.context(q, k, v))  # (B, S, E)
        return torch.cat([self.global_row(hidden, band.real)[:, None], context[:, 1:]], dim=1)

    def global_row(self, hidden: Tensor, real: Tensor) -> Tensor:
        """The context of <s>, (B, E). q k = (q W) h + q b, and q b is the same for every key: it cancels."""
        q = self.query_global(hidden[:, 0]).unflatten(-1, (self.count, -1))  # (B, H, D)
        to_key, to_value = (f.weight.unflatten(0, (self.count, -1)) for f in (self.key_global, self.value_global))
        scores = torch.einsum("bhd,hde->bhe", q, to_key) @ hidden.transpose(1, 2) / math.sqrt(q.shape[-1])  # (B, H, S)
        mixed = torch.softmax(scores + real, dim=-1) @ hidden  # (B, H, E)
        return torch.einsum("bhe,hde->bhd", mixed, to_value).flatten(1) + self.value_global.bias


class EncoderAttention(nn.Module):
    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.longformer_self_attn = LongformerSelfAttention(size, count)
        self.output = nn.Linear(size, size)

    def forward(self, hidden: Tensor, band: Band) -> Tensor:
        return self.output(self.longformer_self_attn(hidden, band))


class DecoderAttention(nn.Module):
    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.count = count
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            self.add_module(name, nn.Linear(size, size))

    def keys_and_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return heads(self.k_proj(states), self.count), heads(self.v_proj(states), self.count)

    def forward(self, hidden: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor | None = None) -> Tensor:
        """Causal where there is no mask."""
        q = heads(self.q_proj(hidden), self.count)
        return self.out_proj(joined(F.scaled_dot_product_attention(q, *memory, attn_mask=mask, is_causal=mask is None)))


class Layer(nn.Module):
    """What the layers of encoder and decoder have in common: feed-forward, and norms after the residual."""

    def __init__(self, size: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(size)
        self.fc1 = nn.Linear(size, ffn)
        self.fc2 = nn.Linear(ffn, size)
        self.final_layer_norm = nn.LayerNorm(size)
        self.dropout = dropout

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        return self.final_layer_norm(hidden + self.drop(self.fc2(F.gelu(self.fc1(hidden)))))


class EncoderLayer(Layer):
    def __init__(self, size: int, count: int, ffn: int, dropout: float) -> None:
        super().__init__(size, ffn, dropout)
        self.self_attn = EncoderAttention(size, count)

    def forward(self, hidden: Tensor, band: Band) -> Tensor:
        hidden = self.self_attn_layer_norm(hidden + self.drop(self.self_attn(hidden, band)))
        return self.feed_forward(hidden)


class DecoderLayer(Layer):
    def __init__(self, size: int, count: int, ffn: int, dropout: float) -> None:
        super().__init__(size, ffn, dropout)
        self.self_attn = DecoderAttention(size, count)
        self.encoder_attn = DecoderAttention(size, count)
        self.encoder_attn_layer_norm = nn.LayerNorm(size)

    def forward(self, hidden: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        attended = self.self_attn(hidden, self.self_attn.keys_and_values(hidden))
        hidden = self.self_attn_layer_norm(hidden + self.drop(attended))
        hidden = self.encoder_attn_layer_norm(hidden + self.drop(self.encoder_attn(hidden, memory, mask)))
        return self.feed_forward(hidden)


class Stack(nn.Module):
    """Positions, the norm of the embedding and the layers."""

    def __init__(self, config: dict[str, Any], side: str, layer: type[nn.Module]) -> None:
        super().__init__()
        size, self.dropout = config["d_model"], config["dropout"]
        self.embed_positions = nn.Embedding(config[f"max_{side}_position_embeddings"], size)
        self.layernorm_embedding = nn.LayerNorm(size)
        sizes = (size, config[f"{side}_attention_heads"], config[f"{side}_ffn_dim"], self.dropout)
        self.layers = nn.ModuleList(layer(*sizes) for _ in range(config[f"{side}_layers"]))

    def embed(self, embedded: Tensor) -> Tensor:
        hidden = self.layernorm_embedding(embedded + self.embed_positions.weight[: embedded.shape[1]])
        return F.dropout(hidden, self.dropout, self.training)


Memory = tuple[list[tuple[Tensor, Tensor]], Tensor]


class Body(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.shared = nn.Embedding(config["vocab_size"], config["d_model"])
        self.encoder = Stack(config, "encoder", EncoderLayer)
        self.decoder = Stack(config, "decoder", DecoderLayer)
        (self.w,) = {window // 2 for window in config["attention_window"]}


class LED(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.led = Body(config)
        self.register_buffer("final_logits_bias", torch.zeros(1, config["vocab_size"]))

    def initialise(self, seed: int) -> None:
        """Matrices by Glorot's rule, those that add to a state QUIET, embeddings for logits of variance 1, positions
        sinusoids; heads that look at neighbours, and a path by which tokens are copied, which training alone did not
        find in two epochs.
        """
        torch.manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            elif "shared" in name or "embed_positions" in name:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
            else:
                is_added = name.endswith(("output.weight", "out_proj.weight", "fc2.weight"))
                nn.init.xavier_uniform_(parameter, gain=QUIET if is_added else 1.0)
        with torch.no_grad():
            turns = self._place()
            for layer, shifts, scale in zip(self.led.encoder.layers, ENCODER_SHIFTS, SHARP, strict=True):
                attention = layer.self_attn.longformer_self_attn
                self._look(attention.query, attention.key, shifts, scale, turns)
            for layer, shifts, scale in zip(self.led.decoder.layers, DECODER_SHIFTS, SHARP, strict=True):
                self._look(layer.self_attn.q_proj, layer.self_attn.k_proj, shifts, scale, turns)
            self._copy()

    def _place(self) -> Tensor:
        """Sinusoids as positions, in dimensions that tokens hardly use; their turns a token."""
        slowest = math.pi / self.led.encoder.embed_positions.num_embeddings
        turns = FASTEST * (slowest / FASTEST) ** torch.linspace(0, 1, PLACES // 2)
        for stack in (self.led.encoder, self.led.decoder):
            positions = stack.embed_positions.weight
            angles = torch.arange(len(positions))[:, None] * turns
            positions.zero_()
            positions[:, :PLACES] = SINUSOID * torch.cat([angles.sin(), angles.cos()], dim=1)
        self.led.shared.weight[:, :PLACES].mul_(0.1)
        return turns

    @staticmethod
    def _look(query: nn.Linear, key: nn.Linear, shifts: tuple[int, ...], scale: float, turns: Tensor) -> None:
        """A head for each shift, from each token to the one `shift` behind it: its query is that place."""
        for head, shift in enumerate(shifts):
            rows = slice(head * PLACES, (head + 1) * PLACES)
            cos, sin = (torch.diag(f(turns * shift)) for f in (torch.cos, torch.sin))
            query.weight[rows], key.weight[rows] = 0, 0
            query.weight[rows, :PLACES] = scale * torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])
            key.weight[rows, :PLACES] = scale * torch.eye(PLACES)

    def _copy(self) -> None:
        """What follows in the source on the token just written: the encoder's first head says of each token which one
        is before it, the decoder's first head looks for it and adds the token that it finds there."""
        here, before, copied = (self._subspace() for _ in range(3))
        first, head = self.led.encoder.layers[0].self_attn, slice(PLACES)
        first.longformer_self_attn.value.weight[head] = 1.5 * here
        first.output.weight[:, head] = 1.5 * before.T
        across = self.led.decoder.layers[0].encoder_attn
        across.q_proj.weight[head], across.k_proj.weight[head] = SHARP[0] * here, SHARP[0] * before
        across.v_proj.weight[head], across.out_proj.weight[:, head] = LOUD * copied, LOUD * copied.T

    def _subspace(self) -> Tensor:
        """(PLACES, E): random orthonormal rows, without the positions' dimensions."""
        rows = nn.init.orthogonal_(torch.empty(PLACES, self.led.shared.weight.shape[1]))
        rows[:, :PLACES] = 0
        return rows

    def encode(self, ids: Tensor) -> Memory:
        """ids: (B, S), padded on the right. Keys and values of each decoder layer, and the mask for them."""
        is_real = ids != PAD
        band = Band(is_real, self.led.w)
        hidden = self.led.encoder.embed(self.led.shared(ids))
        for layer in self.led.encoder.layers:
            hidden = layer(hidden, band)
        mask = additive(is_real)[:, None, None, :]  # (B, 1, 1, S)
        return [layer.encoder_attn.keys_and_values(hidden) for layer in self.led.decoder.layers], mask

    def decode(self, ids: Tensor, memory: Memory) -> Tensor:
        """ids: (B, T). States, (B, T, E)."""
        hidden = self.led.decoder.embed(self.led.shared(ids))
        mask = memory[1].expand(-1, -1, ids.shape[1], -1)
        for layer, states in zip(self.led.decoder.layers, memory[0], strict=True):
            hidden = layer(hidden, states, mask)
        return hidden

    def logits(self, states: Tensor) -> Tensor:
        return states @ self.led.shared.weight.T + self.final_logits_bias[0]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of the target's tokens that are not padding, (N, V); target begins with the start token."""
        states = self.decode(target[:, :-1], self.encode(source))
        return self.logits(states[target[:, 1:] != PAD])

    @torch.no_grad()
    def greedy(self, source: Tensor, limit: int) -> list[list[int]]:
        memory = self.encode(source)
        ids = torch.full((len(source), 1), EOS)
        is_open = torch.ones(len(source), dtype=torch.bool)
        while is_open.any() and ids.shape[1] <= limit:
            best = self.logits(self.decode(ids, memory)[:, -1]).argmax(-1)
            ids = torch.cat([ids, torch.where(is_open, best, PAD)[:, None]], dim=1)
            is_open &= best != EOS
        return [[i for i in row if i not in (PAD, EOS)] for row in ids[:, 1:].tolist()]


def upstream(config: dict[str, Any], weights: dict[str, Tensor]) -> Any:
    """transformers' module with these weights; all of its own must be there."""
    import transformers

    other = transformers.LEDForConditionalGeneration(transformers.LEDConfig(**config)).eval()
    answer = other.load_state_dict(weights, strict=False)
    tied = {"led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight", "lm_head.weight"}
    if set(answer.missing_keys) - tied or answer.unexpected_keys:
        raise SystemExit(f"names differ from upstream's: {answer}")
    other.tie_weights()
    return other


@torch.no_grad()
def difference(model: LED, other: Any) -> float:
    """The largest difference of a logit from upstream's module, over the lengths at which the computation changes."""
    vocabulary = other.config.vocab_size
    model.eval()
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for lengths in ([5], [100, 30], [129, 130], [512, 300], [513], [700, 1500, 384], [3000]):
        source = torch.full((len(lengths), max(lengths)), PAD)
        for row, length in zip(source, lengths, strict=True):
            row[:length] = torch.randint(3, vocabulary, (length,), generator=random)
        source[:, 0] = 0
        target = torch.randint(3, vocabulary, (len(lengths), 11), generator=random)
        is_global = torch.zeros_like(source)
        is_global[:, 0] = 1
        expected = other(
            input_ids=source,
            attention_mask=(source != PAD).long(),
            global_attention_mask=is_global,
            decoder_input_ids=target,
        ).logits
        logits = model.logits(model.decode(target, model.encode(source)))
        worst = max(worst, float((logits - expected).abs().max()))
    return worst


def check() -> None:
    """Refuse to train what upstream would compute otherwise: random weights, no bias 0 and no scale 1."""
    model = LED(CONFIG)
    model.initialise(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "query" in name or "key" in name or "q_proj" in name or "k_proj" in name:
                parameter.mul_(2)
    worst = difference(model, upstream(CONFIG, model.state_dict()))
    print(f"largest difference of a logit from upstream's: {worst:.1e}", flush=True)
    if not worst < 1e-4:
        raise SystemExit("the model computes something else than LED")


if __name__ == "__main__":
    check()
