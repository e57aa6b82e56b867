"""Draw the figure of beam search: `python docs/draw_generation.py` writes it beside this file.

The figure shows a search that runs: a stopping criterion sees the candidates of each step, and the step function sees
which of them go on.
"""

import numpy as np
from drawing import BLUE, GREY, OCHRE, box, figure, text, write

from pyled.generation import generate, resolve
from pyled.generation_config import GenerationConfig

WORDS = ["</s>", "long", "short", "text"]
AFTER = {  # the model: what has been written -> the probability of each word to come next
    "": [0.05, 0.40, 0.20, 0.35],
    "long": [0.10, 0.20, 0.30, 0.40],
    "text": [0.80, 0.08, 0.07, 0.05],
    "long text": [0.90, 0.05, 0.03, 0.02],
    "long short": [0.20, 0.06, 0.04, 0.70],
    "long short text": [0.95, 0.02, 0.02, 0.01],
    "long text long": [0.10, 0.20, 0.20, 0.50],
}
BEAMS = 2
FATES = {"runs on": BLUE, "finishes": OCHRE, "dropped": GREY}
COLUMN, ROW, WIDTH, HEIGHT, LEFT, TOP = 178, 62, 128, 44, 24, 66

Candidate = tuple[str, int, float, str]  # its words, the row it was chosen from, the sum of its logs, its fate


def written(ids: np.ndarray) -> str:
    return " ".join(WORDS[token] for token in ids[1:])


class Still:
    """A state of nothing."""

    def select(self, rows: np.ndarray) -> "Still":
        return self


def searched() -> list[list[Candidate]]:
    """The candidates of each step, best first."""
    running: list[list[str]] = []  # per step
    candidates: list[list[str]] = []

    def step(ids: np.ndarray, state: Still) -> tuple[np.ndarray, Still]:
        running.append([written(row) for row in ids])
        return np.log(np.float32([AFTER.get(words, [0.25] * 4) for words in running[-1]])), state

    def spy(ids: np.ndarray, scores: object) -> bool:
        candidates.append([written(row) for row in ids])
        return np.False_

    call = {"num_beams": BEAMS, "max_new_tokens": 5, "early_stopping": "never"}
    ids = {"eos_token_id": 0, "pad_token_id": 0, "decoder_start_token_id": 0}
    settings, prompt = resolve(call | ids, None, GenerationConfig(), batch_size=1, vocab_size=4, positions=9)
    generate(step, Still(), prompt, settings, stopping_criteria=[spy])
    steps, sums = [], {"": 0.0}
    for n, (rows, best) in enumerate(zip(running, candidates, strict=True)):
        steps.append([])
        for rank, words in enumerate(best):
            before, _, last = words.rpartition(" ")
            sums[words] = sums[before] + np.log(AFTER[before][WORDS.index(last)])
            goes_on = [*running, []][n + 1]
            fate = "runs on" if words in goes_on else "finishes" if last == "</s>" and rank < BEAMS else "dropped"
            steps[-1].append((words, rows.index(before), sums[words], fate))
    return steps


def tree() -> str:
    """docs/generation.md's picture: the candidates of each step, and what becomes of them."""
    parts, places, steps = [], {"": (LEFT, TOP + HEIGHT / 2)}, searched()
    for n, candidates in enumerate(steps):
        x = LEFT + n * COLUMN
        parts.append(text(x, TOP - 16, f"step {n + 1}", size=12, more='font-weight="600"'))
        for rank, (words, _, total, fate) in enumerate(candidates):
            y, colour = TOP + rank * ROW, FATES[fate]
            before, _, last = words.rpartition(" ")
            if before:
                x0, y0 = places[before]
                parts.append(f'<path d="M{x0:g} {y0:g}L{x} {y + HEIGHT / 2:g}" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(box(x, y, WIDTH, HEIGHT, colour, f'fill-opacity="0.15" stroke="{colour}"'))
            parts.append(text(x + 8, y + 18, last, more='font-weight="600"'))
            parts.append(text(x + 8, y + 35, f"{np.exp(total):.4f}", size=12))
            parts.append(text(x + WIDTH - 8, y + 35, f"{total:.2f}", anchor="end", size=12))
            places[words] = (x + WIDTH, y + HEIGHT / 2)
    for n, (fate, colour) in enumerate(FATES.items()):
        parts.append(box(LEFT + n * COLUMN, 14, 13, 13, colour, 'fill-opacity="0.5"'))
        parts.append(text(LEFT + n * COLUMN + 20, 25, fate, size=12))
    description = (
        f"Four candidates for each of {len(steps)} steps, best at the top, each joined to what it extends, "
        "with its probability and the logarithm of that. Two of a step run on. Candidates that end with </s> and are "
        "among the first two finish. The others are dropped."
    )
    return figure(LEFT + len(steps) * COLUMN - 30, TOP + 4 * ROW, "Beam search with two beams", description, parts)


FIGURES = {"beams.svg": tree}


if __name__ == "__main__":
    write(FIGURES)
