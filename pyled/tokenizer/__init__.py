"""Text to ids and back, as LED's tokenizer does it.

To be read in this order: bytelevel, bpe, special, vocabulary, lengths, offsets, pretrained, arguments, table,
batch_encoding, led.
"""

from .led.batch_encoding import BatchEncoding
from .led.tokenizer import LEDTokenizer, LEDTokenizerFast
from .special import AddedToken

__all__ = ["AddedToken", "BatchEncoding", "LEDTokenizer", "LEDTokenizerFast"]
