"""Text to ids and back, as LED's tokenizer does it.

The algorithm is to be read in this order: bytelevel, bpe, special, vocabulary. Behind it, in led/, stands Hugging
Face's surface: lengths, offsets, roles, tokenizer_json, pretrained, arguments, table, batch_encoding, tokenizer.
"""

from .led.batch_encoding import BatchEncoding
from .led.tokenizer import LEDTokenizer, LEDTokenizerFast
from .special import AddedToken

AutoTokenizer = LEDTokenizer  # scripts load it by this name

__all__ = ["AddedToken", "AutoTokenizer", "BatchEncoding", "LEDTokenizer", "LEDTokenizerFast"]
