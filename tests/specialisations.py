"""Call all kernels that a model of some float types needs, and print how often each was compiled, by type.

python tests/specialisations.py DIRECTORY float32 float64
"""

import sys

import numpy as np

import pyled
from pyled.kernels import adamw, banded, banded_back, dropout, grouped, products, rounded, rows

ids = np.arange(60).reshape(2, 30) % 20 + 4
mask, marks = np.ones_like(ids), np.zeros_like(ids)
mask[0, 3], mask[1, 8:], marks[:, 0], marks[0, 5] = 0, 0, 1, 1
for dtype in sys.argv[2:]:
    load = pyled.LEDForConditionalGeneration.from_pretrained
    models = [load(sys.argv[1], dtype=dtype, mmap=mmap) for mmap in (True, False)]
    for model in [*models, pyled.LEDForConditionalGeneration(models[0].config, dtype=dtype)]:
        for T in (1, 2):
            model(ids, mask, ids[:, :T], global_attention_mask=marks, output_attentions=T == 2)
        model.generate(ids, attention_mask=mask, global_attention_mask=marks, max_length=4)
    model.config.attention_dropout = 0.1
    for batch, training, policy in ((1, False, "keep"), (2, True, "recompute"), (2, True, "selective")):
        some = {"attention_mask": mask[:batch], "global_attention_mask": marks[:batch], "labels": ids[:batch]}
        model.checkpointing = policy
        _, gradients = model.loss_and_gradients(ids[:batch], **some, training=training)
        pyled.AdamW(model).step(gradients)
for module in (adamw, banded, banded_back, dropout, grouped, rounded, products, rows):
    for name, function in vars(module).items():
        if hasattr(function, "parallel") and function.parallel.signatures:  # others: of rounded weights
            print(name, *[signature[0].dtype for signature in function.parallel.signatures])
