"""The fast forward pass, without checks of arguments and without Hugging Face's names.

Read in this order: layers, batch, attention, cache, encoder, decoder, heads, losses, observe.
The letters of shapes are in arrays.
"""
