"""Draw the figure of backward.md: `python docs/draw_backward.py` writes it beside this file."""

from drawing import BLUE, GREY, MONO, box, figure, text, write

from pyled.gradients.keeping import ENDINGS

WIDTH, HEIGHT = 760, 400
ROW, GAP = 26, 8  # heights: of a box, and between two
LEFT, WIDE, STEP = 130, 180, 212  # where the boxes begin, how wide they are, and from one column to the next
LENGTH, E, F, H = 16_384, 768, 3_072, 12  # of LED-base

# The stages of a layer from below: the words, the end of the name, and the numbers of each token.
STAGES = [
    ("input", "final_layer_norm", E),
    ("queries", ".query", E),
    ("keys", ".key", E),
    ("values", ".value", E),
    ("log sums", ".log_sums", H),
    ("context", ".longformer_self_attn", E),
    ("attention's output", ".output", E),
    ("norm", ".self_attn_layer_norm", E),
    ("before GELU", ".fc1", F),
    ("feed-forward", ".fc2", E),
]


def megabytes(numbers: int) -> float:
    """The size of an array of so many float32 for each token."""
    return LENGTH * numbers * 4 / 1e6


def kept() -> str:
    """Of one layer: what each policy keeps, and what it computes again."""
    parts = []
    for row, (words, _, _) in enumerate(STAGES):
        y = HEIGHT - 40 - row * (ROW + GAP)
        parts.append(text(LEFT - 12, y - 9, words, anchor="end", size=12))
    for column, (policy, endings) in enumerate(ENDINGS.items()):
        x, total = LEFT + column * STEP, 0
        for row, (_, ending, numbers) in enumerate(STAGES):
            y = HEIGHT - 40 - row * (ROW + GAP) - ROW
            is_kept = ending in endings
            total += numbers * is_kept
            if is_kept:
                parts.append(box(x, y, WIDE, ROW, BLUE, ""))
            else:
                parts.append(box(x, y, WIDE, ROW, "none", f'stroke="{GREY}" stroke-dasharray="3 3"'))
            fill = 'fill="#ffffff"' if is_kept else f'fill="{GREY}"'
            words = f"{megabytes(numbers):.1f} MB" if is_kept else "again"
            parts.append(text(x + WIDE / 2, y + 17, words, anchor="middle", size=11, more=f"{fill} {MONO}"))
        parts.append(text(x + WIDE / 2, 22, policy, anchor="middle", size=14, more='font-weight="600"'))
        parts.append(text(x + WIDE / 2, HEIGHT - 16, f"{megabytes(total):.0f} MB a layer", anchor="middle", size=12))
    description = (
        "Three columns, one for each policy, of the stages of an encoder layer, from its input below to the output of "
        "its feed-forward above. A filled box is kept, a dashed one is computed again. recompute keeps the input; "
        "selective also queries, keys, values, log sums and context; keep all."
    )
    title = f"What is kept of a layer at {LENGTH:,} tokens"
    return figure(WIDTH, HEIGHT, title, description, parts)


FIGURES = {"kept.svg": kept}


if __name__ == "__main__":
    write(FIGURES)
