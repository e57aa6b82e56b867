"""LED, the Longformer Encoder-Decoder (Beltagy, Peters, Cohan 2020), on NumPy and Numba."""
